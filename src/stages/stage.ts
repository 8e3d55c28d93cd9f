/**
 * What every stage is: a role with a duty cycle and no thread of its own. A thread layout decides
 * which thread calls `doWork` (engine/topology.ts); under layout inline it is the caller's.
 */
export interface Stage {
  readonly name: string
  /** One bounded pass; returns the work done, 0 lets the thread idle. Throws: the node stops. */
  readonly doWork: () => number
  /** After the last doWork, on the same thread. */
  readonly close: () => void
  /** Instead of close, as a crash would end it: nothing is flushed. Default: close. */
  readonly kill?: () => void
}
