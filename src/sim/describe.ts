/** Messages and inputs as short text, for people who read a trace. Never part of the hash. */
import type { Input } from '../core/engine.ts'
import type { Frame } from './frames.ts'

/** Inputs that a chart shows beside the messages; ticks and applied are noise. */
export function describeInput(input: Input<unknown>): string {
  switch (input.kind) {
    case 'durable':
      return `durable lsn ${input.lsn}`
    case 'link':
      return `link to n${input.peer} ${input.up ? 'up' : 'down'}`
    case 'submitted':
      return `submitted ${input.frames.map(({ first, count }) => range(first, count)).join(' ')}`
    case 'change':
      return `asked: ${JSON.stringify(input.change)}`
    case 'transfer':
      return `asked to hand over to n${input.target}`
    case 'pressure':
      return `pressure on ring ${input.ring}`
    default:
      return ''
  }
}

const range = (first: number, count: number): string =>
  count === 1 ? `${first}` : `${first}-${first + count - 1}`

/** 'accept ballot 1.2 prev 4 through 9 [5-9]' */
export function describeMessage(message: unknown, frames: readonly Frame[]): string {
  const words: string[] = []
  for (const [name, value] of Object.entries(message as Record<string, unknown>)) {
    if (name === 'kind') words.push(String(value))
    else if (/ballot|promised/i.test(name)) words.push(`${name} ${ballotText(Number(value))}`)
    else if (!/chain/i.test(name)) words.push(`${name} ${Number(value)}`)
  }
  for (const { first, count } of frames) words.push(`[${range(first, count)}]`)
  return words.join(' ')
}

/** Ballots as people write them: round.node. */
export const ballotText = (ballot: number): string =>
  ballot === 0 ? '0' : `${Math.floor(ballot / 65_536)}.${ballot % 65_536}`
