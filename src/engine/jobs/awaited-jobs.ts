import type { Job, JobId } from '../../domain/job.ts';

export interface AwaitJobs {
  readonly namespace: string;
  /** Each once. */
  readonly jobIds: readonly JobId[];
  readonly mode: 'all' | 'any';
}

export interface EndedJobs {
  /** None in a sign of life. */
  readonly jobs: readonly Job[];
  /** Jobs whose end has not been told. */
  readonly remaining: number;
}
