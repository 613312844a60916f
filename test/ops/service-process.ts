import { onTestFinished } from 'vitest';
import { buildService, type ServiceProcess, spawnService } from '../support/service-process.ts';

/** A process of the service that ends with the test. */
export function startProcess(environment: Record<string, string>): ServiceProcess {
  buildService();
  const service = spawnService(environment);
  onTestFinished(async () => {
    service.child.kill('SIGKILL');
    await service.ended;
  });
  return service;
}
