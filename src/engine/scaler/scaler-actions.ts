import type { Engine } from '../engine.ts';
import { queueLoad } from './queue-load.ts';
import { streamIsActive, type StreamIsActiveParts } from './stream-is-active.ts';

export function scalerActions(parts: StreamIsActiveParts): Engine['scaler'] {
  return {
    queueLoad: (trigger) => queueLoad(parts, trigger),
    streamIsActive: (trigger, signal, ending = parts.draining) => streamIsActive({ ...parts, draining: ending }, trigger, signal),
  };
}
