// A client in a process of its own: makes every call that stays unanswered for a while, tells its parent, and stays until
// it is killed. Arguments: the address, a namespace, a job of it that never ends, and how often to make each call.
import type { Ground } from './calls.ts';
import { WIRE_CALLS } from './calls.ts';
import { RawConnection } from './raw-connection.ts';

const [address = '', namespace = '', waitingJobId = '', times = '1'] = process.argv.slice(2);

let count = 0;
const ground: Ground = {
  namespace,
  queue: 'work',
  waitingJobId,
  notedJobId: waitingJobId,
  leaseToken: () => '',
  count: () => (count += 1),
};

async function main(): Promise<void> {
  const connection = await RawConnection.open(address);
  for (let time = 0; time < Number(times); time += 1) {
    for (const call of WIRE_CALLS.filter(({ parks }) => parks)) connection.send(call.path, call.frame(ground), call.staysOpen).resume();
  }
  await connection.heard();
  process.send?.('heard');
}

void main();
