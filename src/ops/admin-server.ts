import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  /** Whether requests can be served at this moment; asked anew for each probe. */
  readonly isReady: () => boolean;
  /** The text of `/metrics`, from what is at hand; without it there is no such page. */
  readonly metrics?: (() => Promise<Page>) | undefined;
}

/** A page, and what kind of text it is. */
export interface Page {
  readonly contentType: string;
  readonly text: string;
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
 * Plain HTTP for probes and for a scraper of metrics. `/livez` says only that the process turns over: bound to the database, a restart of that one
 * would restart every replica too. `/readyz` says whether to send requests here. None of the pages waits for the database.
 */
export async function startAdminServer({ host, port, isReady, metrics }: AdminServerOptions): Promise<AdminServer> {
  const limits = { requestTimeout: REQUEST_LIMIT_MS, headersTimeout: REQUEST_LIMIT_MS, connectionsCheckingInterval: REQUEST_LIMIT_MS };
  const server = createServer(limits, (request, response) => void answer(request, response, { isReady, metrics }));
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

type Pages = Pick<AdminServerOptions, 'isReady' | 'metrics'>;

async function answer(request: IncomingMessage, response: ServerResponse, pages: Pages): Promise<void> {
  // A body is nothing that we read; left unread it would hold the connection.
  request.resume();
  const { status, text, contentType = 'text/plain; charset=utf-8' } = await judge(request.method, request.url, pages).catch(() => BROKEN);
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' });
  response.end(request.method === 'HEAD' ? undefined : text);
}

interface Verdict {
  readonly status: number;
  readonly text: string;
  readonly contentType?: string;
}

const BROKEN: Verdict = { status: 500, text: 'the page could not be made\n' };

async function judge(method: string | undefined, url: string | undefined, { isReady, metrics }: Pages): Promise<Verdict> {
  const path = url?.split('?')[0];
  const page = path === '/metrics' ? metrics : undefined;
  if (path !== '/livez' && path !== '/readyz' && page === undefined) {
    return { status: 404, text: `there are /livez${metrics === undefined ? ' and /readyz' : ', /readyz and /metrics'}\n` };
  }
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'GET and HEAD only\n' };
  if (page !== undefined) return { status: 200, ...(await page()) };
  if (path === '/livez' || isReady()) return { status: 200, text: 'ok\n' };
  return { status: 503, text: 'not ready\n' };
}
