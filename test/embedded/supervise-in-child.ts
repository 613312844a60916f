// A process of its own that supervises a stand-in for Postgres (`bin/postgres` in a folder) and stays until it is killed:
// what holds the stand-in on its leash then acts.
import { superviseServer } from '../../src/embedded/supervisor.ts';

const [folder = '', orphanLimitSeconds = ''] = process.argv.slice(2);

const server = superviseServer({
  runner: {
    binaries: { folder, version: '', majorVersion: '' },
    owner: null,
    wrap: (file, args) => ({ file, args }),
  },
  clusterDir: folder,
  port: 0,
  settings: {},
  stalePid: null,
  log: () => undefined,
  orphanLimitSeconds: Number(orphanLimitSeconds),
});
void server.pid.then((pid) => process.stdout.write(`${pid}\n`));
