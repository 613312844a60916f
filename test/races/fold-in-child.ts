// Folds the journal of a database without end, a few statements at a time, and says so whenever it has folded something.
import { Database } from '../../src/repository/database.ts';
import { foldJournal } from '../../src/repository/upkeep/fold-journal.ts';

const [url = ''] = process.argv.slice(2);
const { run } = new Database({ url, connections: 1, applicationName: 'a mortal folder', settings: 'hot' });
for (;;) {
  const { count } = await foldJournal({ run, slow: run }, null, 3);
  if (count > 0) process.stdout.write('.\n');
}
