/**
 * Session tokens: what a client has seen, to be taken from node to node (R35). Plain data that may
 * be stored and sent as JSON.
 */
import { ReplicaError } from '../base/errors.ts'

export interface SessionToken {
  readonly cluster: string
  /** Grows when a disaster command rewrites history: indexes before it mean nothing after it. */
  readonly epoch: number
  /** Everything through this log index has been seen. */
  readonly index: number
}

/** Of which cluster and history this node is. */
export interface History {
  readonly cluster: string
  /** Known once the node has recovered: nobody gets a token before. */
  epoch: number
}

export const tokenOf = ({ cluster, epoch }: History, index: number): SessionToken => ({
  cluster,
  epoch,
  index,
})

/** @throws ReplicaError E_TOKEN when it is not of this cluster and history, or no token at all */
export function checkToken({ cluster, epoch, index }: SessionToken, here: History): void {
  const problem =
    cluster !== here.cluster
      ? `is of cluster ${String(cluster)}, this is ${here.cluster}`
      : epoch !== here.epoch
        ? `is of history ${String(epoch)}, this is ${String(here.epoch)}`
        : !Number.isSafeInteger(index) || index < 0
          ? `index ${String(index)} is no log index`
          : null
  if (problem !== null) throw new ReplicaError('E_TOKEN', `the token ${problem}`, { problem })
}
