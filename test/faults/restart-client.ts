/**
 * A client of several replicas as its documentation has it (examples/service-config.json, and again what was not answered): produces, awaits,
 * works both ways, and follows the events. Tells what it saw; a mistake of the service it throws.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Channel, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { call, type UnaryMethod } from '../../examples/call.ts';
import { EventServiceClient } from '../../gen/stint/v1/event_service.ts';
import { JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { WorkerServiceClient } from '../../gen/stint/v1/worker_service.ts';
import { DETAILS_TRAILER, richStatus } from '../support/rich-status.ts';
import { projectRoot } from '../house/source.ts';

const DEADLINE_MS = 20_000;
const PAUSE_MS = 20;

export class RestartClient {
  readonly queue = `restart-${randomUUID()}`;
  readonly jobs: JobServiceClient;
  readonly workers: WorkerServiceClient;
  readonly events: EventServiceClient;
  /** Code and reason of what calls and streams failed with, and how often. */
  readonly seen = new Map<string, number>();
  readonly #channel: Channel;
  #answeredAt = performance.now();
  #longestPauseMs = 0;

  constructor(addresses: readonly string[]) {
    const insecure = credentials.createInsecure();
    this.#channel = new Channel(`ipv4:${addresses.join(',')}`, insecure, {
      'grpc.service_config': readFileSync(join(projectRoot, 'examples/service-config.json'), 'utf8'),
      'grpc.max_reconnect_backoff_ms': 2_000,
    });
    const options = { channelOverride: this.#channel };
    this.jobs = new JobServiceClient('replicas', insecure, options);
    this.workers = new WorkerServiceClient('replicas', insecure, options);
    this.events = new EventServiceClient('replicas', insecure, options);
  }

  /** Between two answers, whatever they answered. */
  get longestPauseMs(): number {
    return this.#longestPauseMs;
  }

  /** The very same, until it is answered. */
  async ask<Request, Response>(method: UnaryMethod<Request, Response>, request: Request): Promise<Response> {
    for (;;) {
      try {
        const response = await call(method, request, { deadlineMs: DEADLINE_MS });
        this.#answered();
        return response;
      } catch (error) {
        await this.bear(error);
      }
    }
  }

  /** Notes it and waits a moment, where the same may succeed then. */
  async bear(error: unknown): Promise<void> {
    if (!isServiceError(error)) throw error;
    const isTold = error.metadata.get(DETAILS_TRAILER).length > 0;
    const name = `${status[error.code]}/${isTold ? richStatus(error).info?.reason : error.details}`;
    this.note(name);
    if (error.code !== status.UNAVAILABLE) throw error;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }

  note(name: string): void {
    this.seen.set(name, (this.seen.get(name) ?? 0) + 1);
  }

  close(): void {
    this.#channel.close();
  }

  #answered(): void {
    const now = performance.now();
    this.#longestPauseMs = Math.max(this.#longestPauseMs, now - this.#answeredAt);
    this.#answeredAt = now;
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'metadata' in error && error.metadata instanceof Metadata;
}
