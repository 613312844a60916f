/** A statement as it is sent to the database. */
export interface SentStatement {
  /** Its name, which its text begins with. */
  readonly name: string;
  /** The pool that it runs in, by the `application_name` that the database knows of it. */
  readonly pool: string;
}

/** Who watches statements: metrics, tracing. Parameters are told to nobody. */
export interface StatementObserver {
  /** What it returns is called once, with null where the statement was answered, otherwise with what it failed with. */
  begin(statement: SentStatement): (error: unknown) => void;
}

export function everyStatementObserver(observers: readonly StatementObserver[]): StatementObserver {
  const [only] = observers;
  if (only !== undefined && observers.length === 1) return only;
  return {
    begin: (statement) => {
      const ends = observers.map((one) => one.begin(statement));
      return (error) => {
        for (const end of ends) end(error);
      };
    },
  };
}

/** A pool of connections, as it is. */
export interface PoolState {
  /** The `application_name` that the database knows of it. */
  readonly name: string;
  /** As many as it may have. */
  readonly connections: number;
  readonly open: number;
  readonly inUse: number;
  /** Statements and transactions that wait for a connection. */
  readonly waiting: number;
}
