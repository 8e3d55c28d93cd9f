/**
 * Histories of concurrent RESP clients, judged by the checker (src/check): single commands and
 * pipelines, over a cluster whose leadership moves meanwhile. To the checker the commands of one
 * pipeline are concurrent; their order is tested in resp.test.ts.
 */
import { expect, onTestFinished, test } from 'vitest'
import { checkHistory } from '../../src/check/check.ts'
import type { Operation, Value } from '../../src/check/operation.ts'
import { openKvService } from '../../src/server/kv-service.ts'
import { createRespServer } from '../../src/server/resp/server.ts'
import { openStore } from '../support/engine.ts'
import { type Random, below, createRandom } from '../support/random.ts'
import { type RespClient, type Told, openClient } from './resp-client.ts'

interface Asked {
  readonly sent: string
  readonly key: string
  readonly f: Operation['f']
  readonly value: Value
}

let clock = 0

/** Values that no other put has, so that a read tells which one it saw. */
function draw(random: Random, process: number, turn: number): Asked {
  const key = `k${below(random, 3)}`
  const value = String(1_000_000 * (process + 1) + turn)
  switch (below(random, 6)) {
    case 0:
      return { sent: `SET ${key} ${value}`, key, f: 'put', value }
    case 1:
      return { sent: `DEL ${key}`, key, f: 'delete', value: null }
    case 2:
      return { sent: `INCR n`, key: 'n', f: 'incr', value: 1 }
    case 3:
      return { sent: `GET n`, key: 'n', f: 'get', value: null }
    default:
      return { sent: `GET ${key}`, key, f: 'get', value: null }
  }
}

function recorded(asked: Asked, process: number, call: number, told: Told): Operation {
  const { key, f, value } = asked
  const common = { process, key, f, value, call, return: ++clock }
  if (typeof told === 'string' && told.startsWith('-')) {
    const isUnknown = told.startsWith('-UNKNOWN')
    return { ...common, result: null, outcome: isUnknown ? 'info' : 'fail' }
  }
  const seen = f === 'get' && key === 'n' && told !== null ? Number(told) : told
  return { ...common, result: f === 'get' || f === 'incr' ? seen : null, outcome: 'ok' }
}

/** One connection: a pipeline of up to `depth` commands after the other. */
async function work(client: RespClient, process: number, rounds: number, depth: number) {
  const random = createRandom(process)
  const history: Operation[] = []
  for (let round = 0; round < rounds; round++) {
    const count = 1 + below(random, depth)
    const asked = Array.from({ length: count }, (_, i) => draw(random, process, round * depth + i))
    const calls = asked.map(() => ++clock)
    const told = await client.pipeline(asked.map(({ sent }) => sent))
    asked.forEach((one, i) => history.push(recorded(one, process, calls[i]!, told[i]!)))
  }
  return history
}

test.each<[name: string, depth: number, moves: number]>([
  ['one command at a time', 1, 0],
  ['pipelines', 12, 0],
  ['pipelines while leadership moves', 12, 3],
])('clients over RESP are linearizable: %s', async (_name, depth, moves) => {
  const cluster = await openStore({ layout: 'inline' })
  const service = openKvService(cluster)
  const server = await createRespServer({ service, port: 0 })
  onTestFinished(async () => {
    await server.close()
    service.close()
  })
  const clients = await Promise.all(Array.from({ length: 8 }, () => openClient(server)))
  const moving = (async () => {
    for (let i = 0; i < moves; i++) {
      await new Promise((resolve) => setTimeout(resolve, 30))
      const leader = await cluster.leader()
      await leader.transfer(cluster.nodes.find((node) => node !== leader)!.id)
    }
  })()
  const histories = await Promise.all(
    clients.map((client, process) => work(client, process, depth === 1 ? 100 : 30, depth)),
  )
  await moving
  const history = histories.flat()
  expect(history.filter(({ outcome }) => outcome === 'ok').length).toBeGreaterThan(500)
  const { verdict, window } = checkHistory('kv', history, { stepsMax: 5_000_000 })
  expect({ verdict, window }).toEqual({ verdict: 'linearizable', window: null })
})
