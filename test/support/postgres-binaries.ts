import { dirname } from 'node:path';
import { type Binaries, postgresOf, restoreLibraryLinks } from '../../src/embedded/binaries.ts';
import { run } from '../../src/embedded/command.ts';

/** Those of STINT_TEST_POSTGRES_BIN, a folder of programs such as /usr/lib/postgresql/15/bin; null takes the packaged ones. */
export async function chosenBinaries(): Promise<Binaries | null> {
  const programs = process.env['STINT_TEST_POSTGRES_BIN'] ?? '';
  return programs === '' ? null : await binariesIn(programs);
}

/** Throws when no Postgres runs there. */
export async function binariesIn(programs: string): Promise<Binaries> {
  const binaries = { folder: dirname(programs), version: '', majorVersion: '' };
  await restoreLibraryLinks(binaries);
  const { stdout, stderr } = await run({ file: postgresOf(binaries), args: ['--version'] });
  const { version, majorVersion } = /(?<version>(?<majorVersion>\d+)[.\w]*)/.exec(stdout)?.groups ?? {};
  if (version === undefined || majorVersion === undefined) throw new Error(`no Postgres runs in ${programs}: ${stderr}`);
  return { ...binaries, version, majorVersion };
}
