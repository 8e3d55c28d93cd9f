/** Consumers of watches, for tests of the library and of its parts. */
import type { StateMachine, Watch, WatchEvent } from '../../src/engine/index.ts'
import { codeOf, text, textOf } from './engine.ts'

export interface Consumer {
  readonly watch: Watch
  readonly events: WatchEvent[]
  /** '' when it was stopped, else the code that it ended with. */
  readonly ended: Promise<string>
  stop(): Promise<string>
}

/** Takes events as they come. */
export function consume(watch: Watch): Consumer {
  const events: WatchEvent[] = []
  const ended = (async () => {
    try {
      for await (const event of watch) events.push(event)
      return ''
    } catch (error) {
      return codeOf(error)
    }
  })()
  const stop = async (): Promise<string> => {
    await watch.return()
    return ended
  }
  return { watch, events, ended, stop }
}

export const show = ({ index, payload }: WatchEvent): string => `${index}:${textOf(payload)}`
export const indexesOf = (events: readonly WatchEvent[]): number[] =>
  events.map(({ index }) => index)

/** Machines that remember what they executed: the oracle, since a watch must tell just that. */
export function recorders() {
  const seen: string[][] = []
  const make = (): StateMachine => {
    const mine: string[] = []
    seen.push(mine)
    const none = (): Promise<void> => Promise.resolve()
    return {
      apply(batch) {
        for (let i = 0; i < batch.count; i++) {
          mine.push(`${batch.first + i}:${textOf(batch.payload(i).slice())}`)
        }
      },
      query: () => text(String(mine.length)),
      ...{ snapshot: none, restore: none },
    }
  }
  return { seen, make }
}
