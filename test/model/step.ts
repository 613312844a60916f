import type { AsyncCommand } from 'fast-check';
import { compareEverything } from './compare.ts';
import type { Model } from './model.ts';
import { through, type Real, type Run, type Via } from './real.ts';

export type ModelCommand = AsyncCommand<Model, Run>;

/** Does the same to the model and to the service, then compares all of both, as the other replica shows it. */
export function command(
  name: string,
  { via, check = () => true }: { readonly via: Via; readonly check?: (model: Model) => boolean },
  run: (model: Model, real: Real) => Promise<void>,
): ModelCommand {
  return {
    check,
    run: async (model, given) => {
      await run(model, through(given, via));
      await compareEverything(model, through(given, via === 0 ? 1 : 0));
    },
    toString: () => `[${via}] ${name}`,
  };
}
