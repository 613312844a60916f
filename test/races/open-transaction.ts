import { Database, type Run } from '../../src/repository/database.ts';
import { Gate } from '../engine/engine-on.ts';
import { PATIENT } from '../engine/stage.ts';

/** A real statement that has run and not committed: it holds its locks until the test says how it ends. */
export interface OpenTransaction<Outcome> {
  readonly outcome: Outcome;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

class Undone extends Error {}

export async function openTransaction<Outcome>(url: string, work: (run: Run) => Promise<Outcome>): Promise<OpenTransaction<Outcome>> {
  const database = new Database({ url: `${url}?${PATIENT}`, connections: 1, applicationName: 'an open transaction', settings: 'hot' });
  const end = new Gate();
  let undo = false;
  const { outcome, over } = await new Promise<{ outcome: Outcome; over: Promise<unknown> }>((resolve, reject) => {
    const transaction: Promise<unknown> = database.transaction(async (run) => {
      const told = await work(run);
      resolve({ outcome: told, over: transaction });
      await end.opened;
      if (undo) throw new Undone('undone');
    });
    transaction.catch(reject);
  });
  const finish = async () => {
    end.open();
    await over.catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error;
    });
    await database.close();
  };
  return {
    outcome,
    commit: finish,
    rollback: () => {
      undo = true;
      return finish();
    },
  };
}
