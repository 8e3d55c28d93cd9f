/**
 * A state machine that keeps the texts it was given and answers `index:text`; also a module for the
 * apply thread. `mute` gets no answer. Of all nodes that apply `throw FILE` or `exit FILE`, the one
 * that makes the file throws or ends its thread; the others go on.
 */
import { writeFileSync } from 'node:fs'
import type { StateMachine } from '../../src/engine/index.ts'

const decoder = new TextDecoder()
const encoder = new TextEncoder()

export function createListStateMachine(list: string[]): StateMachine {
  return {
    apply(batch) {
      for (let i = 0; i < batch.count; i++) {
        const entry = decoder.decode(batch.payload(i).slice())
        const [word, file = ''] = entry.split(' ')
        if (word === 'throw' && isFirst(file)) throw new Error('asked to throw')
        if (word === 'exit' && isFirst(file)) process.exit(3)
        list.push(entry)
        if (entry !== 'mute') batch.reply(i, encoder.encode(`${batch.first + i}:${entry}`))
      }
    },
    query: () => encoder.encode(list.join()),
    snapshot: () => Promise.resolve(),
    restore: () => Promise.resolve(),
    hash: () => `${list.length}:${list.at(-1) ?? ''}`,
  }
}

function isFirst(file: string): boolean {
  try {
    writeFileSync(file, '', { flag: 'wx' })
    return true
  } catch {
    return false // another node was
  }
}

export const createStateMachine = (): StateMachine => createListStateMachine([])
