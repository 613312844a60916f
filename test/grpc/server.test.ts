import { credentials, status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { ClaimRequest, ClaimResponse, WorkerServiceClient } from '../../gen/stint/v1/worker_service.ts';
import { ListenError } from '../../src/grpc/listener.ts';
import { GrpcServer } from '../../src/grpc/server.ts';
import { Health } from '../../src/ops/health.ts';
import { loopback } from './loopback.ts';

const claimRequest = ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'] });

describe('listening', () => {
  it('on a taken port says so in one line', async () => {
    const first = await loopback({});
    const second = new GrpcServer(new Health([]));
    const failed = second.listen({ host: '127.0.0.1', port: first.port });
    await expect(failed).rejects.toThrow(ListenError);
    await expect(failed).rejects.toThrow(/^127\.0\.0\.1:\d+ is taken: [^\n]*$/);
    await first.close();
  });

  it('on an address of another machine says so in one line', async () => {
    const server = new GrpcServer(new Health([]));
    await expect(server.listen({ host: '192.0.2.1', port: 0 })).rejects.toThrow(/^192\.0\.2\.1:0 is no address of this machine[^\n]*$/);
  });

  it('works on IPv6 too', async () => {
    const server = new GrpcServer(new Health([]));
    expect(await server.listen({ host: '::1', port: 0 })).toBeGreaterThan(0);
    await server.stop({ answerParked: async () => undefined, graceMs: 1_000 });
  });
});

describe('a stop', () => {
  /** A claim that waits until it is answered. */
  async function withParkedClaim() {
    const gate = { answer: (): void => undefined, arrived: (): void => undefined };
    const answered = new Promise<void>((resolve) => (gate.answer = resolve));
    const arrived = new Promise<void>((resolve) => (gate.arrived = resolve));
    const running = await loopback({
      workers: {
        claim: async () => {
          gate.arrived();
          await answered;
          return ClaimResponse.fromPartial({});
        },
      },
    });
    const ended = new Promise<Code>((resolve) => running.workers.claim(claimRequest, (error) => resolve(error?.code ?? Code.OK)));
    await arrived;
    return { ...running, ended, answer: gate.answer };
  }

  it('answers what is parked before it closes', async () => {
    const { grpc, ended, answer, workers } = await withParkedClaim();
    await grpc.stop({ answerParked: async () => answer(), graceMs: 60_000 });
    expect(await ended).toBe(Code.OK);
    workers.close();
  });

  it('cuts what does not end within its grace', async () => {
    const { grpc, ended, workers } = await withParkedClaim();
    await grpc.stop({ answerParked: async () => undefined, graceMs: 50 });
    expect([Code.CANCELLED, Code.UNAVAILABLE]).toContain(await ended);
    workers.close();
  });

  it('cuts also where the parked cannot be answered', async () => {
    const { grpc, ended, workers } = await withParkedClaim();
    const stopped = grpc.stop({ answerParked: async () => Promise.reject(new Error('stuck')), graceMs: 60_000 });
    await expect(stopped).rejects.toThrow('stuck');
    expect([Code.CANCELLED, Code.UNAVAILABLE]).toContain(await ended);
    workers.close();
  });

  it('lets nobody in afterwards', async () => {
    const { address, close } = await loopback({});
    await close();
    const late = new WorkerServiceClient(address, credentials.createInsecure());
    const code = await new Promise<Code>((resolve) => late.claim(claimRequest, (error) => resolve(error?.code ?? Code.OK)));
    expect(code).toBe(Code.UNAVAILABLE);
    late.close();
  });
});
