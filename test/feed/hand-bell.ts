import type { Doorbell, DoorbellListener } from '../../src/engine/ports/doorbell.ts';

/** Rings reach nobody but the test. */
export class HandBell implements Doorbell {
  rings = 0;
  onRing: () => void = () => undefined;
  ring = () => void (this.rings += 1);
  listen = ({ onRing }: DoorbellListener) => {
    this.onRing = onRing;
    return Promise.resolve();
  };
  tell = () => Promise.resolve();
  close = () => Promise.resolve();
}
