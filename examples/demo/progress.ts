import { SingleBar } from 'cli-progress';
import type { Ledger } from './ledger.ts';

const redrawMs = 200;
const plainLineMs = 2_000;

/** A bar on a terminal, a line every two seconds anywhere else. */
export class Progress {
  enqueued = 0;
  note = '';
  readonly #ledger: Ledger;
  readonly #startedAt = performance.now();
  readonly #bar = new SingleBar({
    format: '{bar} {percentage}% | {value}/{total} done, {rate}/s | {enqueued} enqueued | {retries} retries {note}',
    barsize: 24,
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: plainLineMs,
  });
  readonly #timer: NodeJS.Timeout;

  constructor(ledger: Ledger, total: number) {
    this.#ledger = ledger;
    this.#bar.start(total, 0, this.#figures());
    this.#timer = setInterval(() => this.#draw(), redrawMs);
  }

  finish(): void {
    clearInterval(this.#timer);
    this.#draw();
    this.#bar.stop();
  }

  #draw(): void {
    this.#bar.update(this.#ledger.ended, this.#figures());
  }

  #figures(): Record<string, string | number> {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = seconds > 0 ? Math.round(this.#ledger.ended / seconds) : 0;
    return { rate, enqueued: this.enqueued, retries: this.#ledger.retries, note: this.note };
  }
}
