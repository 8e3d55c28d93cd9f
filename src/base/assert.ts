/**
 * Assertions state what the code believes. A failure is a bug, so nothing catches it:
 * the supervisor stops the node, because a node that guesses is worse than one that is down.
 */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** @throws AssertionError when the belief does not hold */
export function assert(condition: boolean, belief: string): asserts condition {
  if (!condition) throw new AssertionError(belief)
}

/** Closes a switch over a union: adding a member breaks the build here, not production there. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
