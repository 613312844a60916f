import type { Engine } from '../../engine/engine.ts';
import type { ExternalScalerService } from '../../../gen/externalscaler/externalscaler.ts';
import { decode } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { readTrigger } from './scaled-object.ts';

export function streamIsActive(engine: Engine): MethodHandler<typeof ExternalScalerService.streamIsActive> {
  return async function* streamIsActive(request, call) {
    const trigger = decode((fields) => readTrigger(fields, request));
    for await (const result of engine.scaler.streamIsActive(trigger, call.signal, call.ending)) yield { result };
  };
}
