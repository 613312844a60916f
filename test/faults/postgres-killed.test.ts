import { it, onTestFinished } from 'vitest';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';

it('a Postgres that is killed, all of it, loses nothing that was answered', { timeout: LIMIT_MS }, async () => {
  const scene = await DatabaseScene.open();
  onTestFinished(async () => await scene.close());
  const { postgres } = scene;
  await scene.suffer({ name: 'a kill', breaks: () => postgres.kill(), mends: () => postgres.start() });
  await scene.expectSound();
});
