/** A job as the answer to a request keeps it: JSON, in which what JSON has no word for is told in text, field by field. */
import type { Failure, Job } from '../domain/job.ts';

type RememberedFailure = Omit<Failure, 'details'> & { readonly details: string };

type RememberedJob = Omit<Job, 'fence' | 'result' | 'failure'> & {
  readonly fence: string;
  readonly result: string | null;
  readonly failure: RememberedFailure | null;
};

export function rememberedJob(outcome: string, { fence, result, failure, ...rest }: Job): string {
  const job: RememberedJob = {
    ...rest,
    fence: String(fence),
    result: result === null ? null : toText(result),
    failure: failure === null ? null : { ...failure, details: toText(failure.details) },
  };
  return JSON.stringify({ outcome, job });
}

interface RememberedAnswer<Outcome extends string> {
  readonly outcome: Outcome;
  readonly job: Job;
}

export function parseRememberedJob<Outcome extends string>(answer: string): RememberedAnswer<Outcome> {
  const { outcome, job } = JSON.parse(answer) as { readonly outcome: Outcome; readonly job: RememberedJob };
  const { fence, result, failure, ...rest } = job;
  return {
    outcome,
    job: {
      ...rest,
      fence: BigInt(fence),
      result: result === null ? null : toBytes(result),
      failure: failure === null ? null : { ...failure, details: toBytes(failure.details) },
    },
  };
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function toBytes(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
