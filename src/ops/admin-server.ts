import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  /** Whether requests can be served at this moment; asked anew for each probe. */
  readonly isReady: () => boolean;
}

export interface AdminServer {
  readonly address: AddressInfo;
  stop(): Promise<void>;
}

/** Probes and a scraper or two. */
const CONNECTIONS = 64;

/** A probe's request is one small packet: who takes longer to send it holds one of few connections. */
const REQUEST_LIMIT_MS = 5_000;

/**
 * Plain HTTP for probes. `/livez` says only that the process turns over: bound to the database, a restart of that one
 * would restart every replica too. `/readyz` says whether to send requests here.
 */
export async function startAdminServer({ host, port, isReady }: AdminServerOptions): Promise<AdminServer> {
  const limits = { requestTimeout: REQUEST_LIMIT_MS, headersTimeout: REQUEST_LIMIT_MS, connectionsCheckingInterval: REQUEST_LIMIT_MS };
  const server = createServer(limits, (request, response) => answer(request, response, isReady));
  server.maxConnections = CONNECTIONS;
  const address = await listen(server, host, port);
  return {
    address,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('a TCP listener has no address'));
      else resolve(address);
    });
  });
}

function answer(request: IncomingMessage, response: ServerResponse, isReady: () => boolean): void {
  // A body is nothing that we read; left unread it would hold the connection.
  request.resume();
  const { status, text } = judge(request.method, request.url, isReady);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  response.end(request.method === 'HEAD' ? undefined : `${text}\n`);
}

interface Verdict {
  readonly status: number;
  readonly text: string;
}

function judge(method: string | undefined, url: string | undefined, isReady: () => boolean): Verdict {
  const path = url?.split('?')[0];
  if (path !== '/livez' && path !== '/readyz') return { status: 404, text: 'there are /livez and /readyz' };
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'GET and HEAD only' };
  if (path === '/livez' || isReady()) return { status: 200, text: 'ok' };
  return { status: 503, text: 'not ready' };
}
