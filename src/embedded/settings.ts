/** Postgres settings by name, as they are written in `postgresql.conf`. */
export type Settings = Readonly<Record<string, string>>;

const serviceSettings: Settings = {
  // TCP on the loopback only: on a Unix socket the driver can hang for ever once a connection is lost.
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // The statements are short and their plans are settled; compiling them costs more than it saves.
  jit: 'off',
  // Token tables turn over completely within seconds.
  autovacuum_naptime: '2s',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_line_prefix: '',
  log_checkpoints: 'off',
  // No statement and no detail: both carry what clients have sent.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

/** For tests that measure neither speed nor survival. */
const volatileSettings: Settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/** Where the kernel grants no more: a small container, a low limit on locked or shared memory. */
const frugalSettings: Settings = { shared_buffers: '16MB' };

export interface SettingsChoice {
  readonly durable: boolean;
  readonly frugal: boolean;
  readonly wanted: Settings;
}

/** The caller's settings come last, so they win. */
export function chooseSettings({ durable, frugal, wanted }: SettingsChoice): Settings {
  return { ...serviceSettings, ...(durable ? {} : volatileSettings), ...(frugal ? frugalSettings : {}), ...wanted };
}
