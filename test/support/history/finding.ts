/** What a history can show to be wrong. */
export type FindingKind =
  /** Something that was answered is not there. */
  | 'lost'
  /** Something is there that nothing called for. */
  | 'invented'
  /** One thing is there twice, or once in two forms. */
  | 'duplicated'
  /** Two workers had the right to believe that they held one job. */
  | 'overlapping_leases'
  /** A call took effect that came too late for it, or a second time. */
  | 'stale_success'
  /** A sequence was left out. */
  | 'gap'
  /** Something came before what it had to come after. */
  | 'order_violation'
  /** A fence is not above the one before. */
  | 'fence_not_risen'
  | 'too_many_attempts'
  /** A status that no client may see. */
  | 'unexpected_status'
  /** An await was never told. */
  | 'asleep'
  /** `CheckInvariants` found it. */
  | 'broken_invariant'
  /** The service was not asked, or not to the end, for what it knows: nothing is shown. */
  | 'incomplete';

export interface Finding {
  readonly kind: FindingKind;
  /** One line for people, with the names of what it is about. */
  readonly detail: string;
}
