import { connect } from 'node:net';

/** A database that is further away than this would not serve us anyway. */
const PROBE_LIMIT_MS = 5_000;

const defaultPort = 5_432;

/** Length 8, request 80877103: "TLS?" Every Postgres and every pooler answers with one letter, before any login. */
const question = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** Whoever answers is not a Postgres, or nobody answers; `code` as in the errors of system calls. */
class ProbeError extends Error {
  override readonly name = 'ProbeError';
  readonly code: 'CONNECT_TIMEOUT' | 'NOT_POSTGRES';

  constructor(code: ProbeError['code']) {
    super('the database did not answer as a Postgres does');
    this.code = code;
  }
}

/**
 * Asks once whether a Postgres listens at the URL's host. The driver itself would connect again without pause or end
 * where a connection is taken and then dropped, as by any server of another kind.
 */
export async function probePostgres(databaseUrl: string): Promise<void> {
  const { hostname, port } = new URL(databaseUrl);
  const host = hostname.replace(/^\[|\]$/g, '');
  const socket = connect({ host, port: Number(port) || defaultPort });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(PROBE_LIMIT_MS, () => reject(new ProbeError('CONNECT_TIMEOUT')));
      socket.once('error', reject);
      socket.once('connect', () => socket.write(question));
      socket.once('data', (answer) => (/^[SN]/.test(answer.toString('latin1')) ? resolve() : reject(new ProbeError('NOT_POSTGRES'))));
      socket.once('close', () => reject(new ProbeError('NOT_POSTGRES')));
    });
  } finally {
    socket.destroy();
  }
}
