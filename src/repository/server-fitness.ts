import type { Sql } from 'postgres';
import { int, type Row, text } from './row.ts';

/** Postgres 15, as `server_version_num` counts. */
const OLDEST_SERVER_NUMBER = 150_000;

/** Whatever a client sends can be stored only there: UTF-8 is the encoding of the wire. */
const ENCODING = 'UTF8';

/** The service does not work with this server or database; nothing was done there. The message says why, and how to mend it. */
class UnfitServerError extends Error {
  override readonly name = 'UnfitServerError';
  readonly kind = 'unfit_server';
}

/** Asks the server what it is, before anything of ours is made there. Throws `UnfitServerError`. */
export async function refuseUnfitServer(client: Sql): Promise<void> {
  // Packagers put their own name behind the version.
  const [server = {}] = await client<Row[]>`
    select current_setting('server_version_num') as number, split_part(current_setting('server_version'), ' ', 1) as version,
           current_setting('server_encoding') as encoding`;
  if (int(server, 'number') < OLDEST_SERVER_NUMBER) {
    throw new UnfitServerError(
      `the server runs Postgres ${text(server, 'version')}, and Stint needs ${OLDEST_SERVER_NUMBER / 10_000} or newer: upgrade it, or name a newer one`,
    );
  }
  if (text(server, 'encoding') !== ENCODING) {
    throw new UnfitServerError(
      `the database is encoded in ${text(server, 'encoding')}, and Stint needs ${ENCODING}: make another one with ENCODING '${ENCODING}', and name that`,
    );
  }
}
