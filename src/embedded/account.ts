import { userInfo } from 'node:os';
import { run } from './command.ts';

/** A user that files can be given to and that a process can run as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Tried in this order; the number is what most systems call nobody. */
const unprivilegedNames = ['postgres', 'nobody'];
const nobody: Account = { uid: 65_534, gid: 65_534 };

/** Who runs this process: root, an ordinary user, or a number that no account has. */
export type Caller = { readonly kind: 'root' } | { readonly kind: 'user'; readonly name: string } | { readonly kind: 'nameless' };

export function readCaller(): Caller {
  try {
    const { uid, username } = userInfo();
    return uid === 0 ? { kind: 'root' } : { kind: 'user', name: username };
  } catch {
    // The look-up throws for a user id without a passwd entry, as containers with an arbitrary user have it.
    return { kind: 'nameless' };
  }
}

/**
 * Postgres refuses to run as root. A cluster that is there belongs to somebody: that one goes on serving it, so that
 * a start as root now and then does not take the folder away from its owner.
 */
export async function chooseAccount(clusterOwner: Account | null): Promise<Account> {
  if (clusterOwner !== null && clusterOwner.uid !== 0) return clusterOwner;
  for (const name of unprivilegedNames) {
    const account = await findAccount(name);
    if (account !== null && account.uid !== 0) return account;
  }
  return nobody;
}

async function findAccount(name: string): Promise<Account | null> {
  const [uid, gid] = await Promise.all([run({ file: 'id', args: ['-u', name] }), run({ file: 'id', args: ['-g', name] })]);
  return uid.ok && gid.ok ? { uid: Number(uid.stdout), gid: Number(gid.stdout) } : null;
}
