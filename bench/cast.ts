/** Who takes part in a bench: of all that cells ask for, what can be brought to this machine. */
import { type Cell, isCheap, type Peer, PEERS, type Variant } from './cells.ts';
import { buildCheapClient } from './cheap-program.ts';
import { without } from './options.ts';
import { factsOf, installPeers, type PeerFacts } from './peer-programs.ts';

export interface Cast {
  readonly cells: readonly Cell[];
  readonly variants: ReadonlySet<Variant>;
  readonly cheapProgram: string | null;
  readonly peers: Readonly<Partial<Record<Peer, PeerFacts>>>;
  /** Variants whose rows are left out, and why. */
  readonly missing: Readonly<Partial<Record<Variant, string>>>;
}

export function gatherCast(cells: readonly Cell[]): Cast {
  const wanted = variantsOf(cells);
  const packaged = (['graphile', 'pg-boss'] as const).filter((peer) => wanted.has(peer));
  const noPeers = packaged.length === 0 ? null : installPeers();
  const cheap = [...wanted].some(isCheap) ? buildCheapClient() : { program: null, missing: null };
  const missing: Partial<Record<Variant, string>> = {
    ...(noPeers === null ? {} : Object.fromEntries(packaged.map((peer) => [peer, noPeers]))),
    ...(cheap.missing === null ? {} : { cheap: cheap.missing, 'cheap-next': cheap.missing }),
  };
  const found = without(cells, (variant) => missing[variant] !== undefined);
  const variants = variantsOf(found);
  const peers = Object.fromEntries(PEERS.filter((peer) => variants.has(peer)).map((peer) => [peer, factsOf(peer)]));
  return { cells: found, variants, cheapProgram: cheap.program, peers, missing };
}

function variantsOf(cells: readonly Cell[]): ReadonlySet<Variant> {
  return new Set(cells.flatMap(({ variants }) => variants));
}
