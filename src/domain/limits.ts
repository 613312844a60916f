/** Every bound of the service, named, with its unit last. Shown to clients by `GetServerInfo`. */

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const LIMITS = {
  payloadBytes: MiB,
  resultBytes: MiB,
  /** Headers and labels together, keys and values, as UTF-8. */
  headersAndLabelsBytes: 16 * KiB,
  checkpointBytes: 64 * KiB,
  eventDataBytes: 64 * KiB,
  failureMessageBytes: 4 * KiB,
  failureDetailsBytes: 64 * KiB,
  keyBytes: 256,
  nameLength: 128,
  contentTypeBytes: 256,
  workerIdBytes: 256,
  /** Of a reason that is given for people. */
  reasonBytes: KiB,
  evidenceBytes: 64 * KiB,
  /** Attempts that a dead letter tells, the last ones. */
  deadLetterAttempts: 100,
  /** Of what the failures of those say, as it is stored; past it earlier ones are left out, or one record would not fit a response. */
  deadLetterAttemptsBytes: MiB,
  /** Jobs that a signature covers. */
  signedJobs: 100_000,
  requestBytes: 4 * MiB,
  /** A response stops before this size, but carries at least one item; jobs that do not fit are not claimed. */
  responseBytes: 3 * MiB,
  batchItems: 1_000,
  awaitedJobs: 1_000,
  /** One client's calls at once on one connection: many parked workers share a connection, but not without end. */
  streamsPerConnection: 10_000,
  pageItems: 1_000,
  claimJobs: 1_000,
  concurrencyPerKey: 1_000,
  claimQueues: 1_000,
  /** Of one `Work` session. */
  workQueues: 100,
  claimTypes: 100,
  /** Queues of a claim times its types: places where a statement looks. */
  claimPlaces: 10_000,
  /** Parked claims that one statement looks for, where it gives to one of them. */
  claimSlots: 1_000,
  nonRetryableCodes: 100,
  /** Fairness keys with a weight of their own, of a queue. */
  fairnessWeights: 100,
  /** Of a fairness key. */
  fairnessWeight: 1_000,
  eventTypes: 100,
  /** Rows one listing call looks at before it hands back a page token. */
  scannedRows: 10_000,
  longPollMs: 60 * SECOND_MS,
  leaseDurationMinMs: SECOND_MS,
  leaseDurationMaxMs: DAY_MS,
  /** The longest backoff, retry_after, release delay and idempotency ttl. */
  delayMs: 366 * DAY_MS,
  maxAttempts: 1_000_000,
  backoffMultiplier: 1_000,
  /** Releases a life may make before each further one spends its attempt: a job handed round for ever is poison too. */
  releasesPerLife: 1_000,
  /** How far a job id minted by a client may lie from the database's time: partitions exist only so far. */
  clientJobIdSkewMs: DAY_MS,
  eventsPerMessage: 256,
  eventMessageBytes: MiB,
  progressMessageBytes: KiB,
  /** Over all lives of a job: one statement removes them with their job, and one scan reads all. */
  customEventsPerJob: 10_000,
  /** Jobs whose progress one message tells. */
  progressPerMessage: 256,
} as const;
