import { it, onTestFinished } from 'vitest';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';

it('a Postgres that is restarted comes back as if nothing had been', { timeout: LIMIT_MS }, async () => {
  const scene = await DatabaseScene.open();
  onTestFinished(async () => await scene.close());
  const { postgres } = scene;
  await scene.suffer({ name: 'a restart', breaks: () => postgres.stop(), mends: () => postgres.start() });
  await scene.expectSound();
});
