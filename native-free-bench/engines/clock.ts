/** Clocks of a load. Any thread. */

/** Milliseconds on a clock that all processes of this machine share. */
export const wallMs = (): number => performance.timeOrigin + performance.now()

const READINGS_SHARED = 32

/** One reading for what one turn of the event loop brings, for READINGS_SHARED calls at most. */
export function turnClock(): () => number {
  let now = 0
  let left = 0
  let isTurn = false
  const endTurn = (): void => {
    isTurn = false
    left = 0
  }
  return () => {
    if (left === 0) {
      now = wallMs()
      left = READINGS_SHARED
      if (!isTurn) setImmediate(endTurn)
      isTurn = true
    }
    left -= 1
    return now
  }
}
