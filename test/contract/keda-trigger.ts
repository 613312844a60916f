import { credentials, Metadata } from '@grpc/grpc-js';
import { expect } from 'vitest';
import {
  ExternalScalerClient,
  GetMetricsRequest,
  type GetMetricsResponse,
  type GetMetricSpecResponse,
  type IsActiveResponse,
  ScaledObjectRef,
} from '../../gen/externalscaler/externalscaler.ts';
import { Follower, type Stint } from './stint.ts';

const CALL_DEADLINE_MS = 15_000;
const inTime = () => ({ deadline: Date.now() + CALL_DEADLINE_MS });

export type Said = Readonly<Record<string, string>>;

/** KEDA's side of one trigger, on a client of the service. */
export class Trigger {
  readonly #scaler: ExternalScalerClient;
  readonly #ref: ScaledObjectRef;

  constructor({ raw }: Stint, scalerMetadata: Said) {
    this.#scaler = new ExternalScalerClient('', credentials.createInsecure(), { channelOverride: raw.jobs.getChannel() });
    this.#ref = ScaledObjectRef.fromPartial({ name: 'workers', namespace: 'kubernetes', scalerMetadata });
  }

  isActive = async (): Promise<boolean> => {
    const { result } = await new Promise<IsActiveResponse>((resolve, reject) => {
      this.#scaler.isActive(this.#ref, new Metadata(), inTime(), (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
    return result;
  };

  metricSpecs = async () => {
    const { metricSpecs } = await new Promise<GetMetricSpecResponse>((resolve, reject) => {
      this.#scaler.getMetricSpec(this.#ref, new Metadata(), inTime(), (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
    return metricSpecs;
  };

  metrics = async (metricName?: string, deadlineMs = CALL_DEADLINE_MS) => {
    const request = GetMetricsRequest.fromPartial({
      scaledObjectRef: this.#ref,
      metricName: metricName ?? (await this.metricSpecs())[0]?.metricName ?? '',
    });
    const { metricValues } = await new Promise<GetMetricsResponse>((resolve, reject) => {
      this.#scaler.getMetrics(request, new Metadata(), { deadline: Date.now() + deadlineMs }, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
    return metricValues;
  };

  /** The one value that there is. */
  value = async (): Promise<number> => {
    const [metric, ...others] = await this.metrics();
    expect(others).toEqual([]);
    expect(metric?.metricValue).toBe(BigInt(Math.ceil(metric?.metricValueFloat ?? Number.NaN)));
    return metric?.metricValueFloat ?? Number.NaN;
  };

  stream = (deadlineMs = CALL_DEADLINE_MS) =>
    new Follower<IsActiveResponse>(this.#scaler.streamIsActive(this.#ref, { deadline: Date.now() + deadlineMs }));
}
