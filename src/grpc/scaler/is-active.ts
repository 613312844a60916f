import type { Engine } from '../../engine/engine.ts';
import type { ExternalScalerService } from '../../../gen/externalscaler/externalscaler.ts';
import { decode } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { readTrigger } from './scaled-object.ts';

export function isActive(engine: Engine): MethodHandler<typeof ExternalScalerService.isActive> {
  return async (request) => {
    const trigger = decode((fields) => readTrigger(fields, request));
    return { result: (await engine.scaler.queueLoad(trigger)).isActive };
  };
}
