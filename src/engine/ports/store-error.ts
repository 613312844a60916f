/**
 * What can go wrong below the engine. `unavailable`: no answer, so the outcome may be unknown. `conflict`: lost a race,
 * nothing happened, try again. `contended`: waited too long for a row. `bad_item`: one of the batch has a value that the
 * database refuses. `other_history`: the database was restored or promoted, nothing happened, what was remembered of it is
 * void. `broken`: a defect of ours.
 */
export type StoreErrorKind = 'unavailable' | 'conflict' | 'contended' | 'bad_item' | 'other_history' | 'broken';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.kind = kind;
  }
}
