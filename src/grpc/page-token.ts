import { createHash } from 'node:crypto';
import { LIMITS } from '../domain/limits.ts';
import type { Fields } from './fields.ts';

/** Raised when the shape changes, so that an old token is refused and not misread. */
const VERSION = 1;
const DIGEST_BYTES = 12;
const HEADER_BYTES = 1 + DIGEST_BYTES;

/** A token that a service of ours can have written is never longer. */
const MAX_TOKEN_BYTES = 2_048;

/** Everything that chooses rows, in a fixed order, the name of the RPC first. The page size may change between pages. */
export type Filter = readonly unknown[];

/**
 * A page token holds a position and a digest of the filter that the position belongs to, so that a token is never followed
 * under another filter. It protects from mistakes, not from forgers: a position gives no access that the filter does not.
 */
export function formatPageToken(filter: Filter, position: string): string {
  return Buffer.concat([Buffer.of(VERSION), digest(filter), Buffer.from(position)]).toString('base64url');
}

/** The position to go on from; null on the first page, and where the token is refused. */
export function readPageToken(fields: Fields, token: string, filter: Filter): string | null {
  if (token === '') return null;
  const bytes = Buffer.from(token.slice(0, MAX_TOKEN_BYTES), 'base64url');
  if (bytes.length <= HEADER_BYTES || bytes.readUInt8(0) !== VERSION || bytes.toString('base64url') !== token) {
    fields.refuse('page_token', 'was not given by this service');
    return null;
  }
  if (!bytes.subarray(1, HEADER_BYTES).equals(digest(filter))) {
    fields.refuse('page_token', 'belongs to another filter');
    return null;
  }
  return bytes.toString('utf8', HEADER_BYTES);
}

export function readPageSize(fields: Fields, pageSize: number): number {
  return fields.integer('page_size', pageSize, { min: 0, max: LIMITS.pageItems }) || DEFAULT_PAGE_ITEMS;
}

/** What a page holds where the request does not say. */
export const DEFAULT_PAGE_ITEMS = 100;

function digest(filter: Filter): Buffer {
  return createHash('sha256').update(JSON.stringify(filter)).digest().subarray(0, DIGEST_BYTES);
}
