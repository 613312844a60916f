// What must be there before anything of ours runs: the packages, then dist/. One process for both: a second start counts each.
await import('./install.mjs');
await import('./build.mjs');
