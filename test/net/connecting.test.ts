/** Sockets that are destroyed before they are connected (T13): closed once, told once. */
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { eventOf, kindsOf, messageOf, openNode, take, takeAtLeast, until } from './support.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** Takes connections and says nothing. */
async function silent(): Promise<{ readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume()
    sockets.push(socket)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === 'object' ? address!.port : 0, sockets }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a hub that is closed while it connects closes its socket, and dials no more', async () => {
  const { port, sockets } = await silent()
  for (let turns = 0; turns < 4; turns++) {
    const { hub, events } = await openNode(1, { id: 2, port })
    for (let i = 0; i < turns; i++) await turn()
    await hub.close()
    await hub.close()
    const { dials, ups } = { dials: sockets.length, ups: hub.counters.ups }
    expect(hub.doWork()).toBe(0)
    expect([ups, events.filter(({ kind }) => kind === 'up')]).toEqual([0, []])
    await until(() => sockets.every((socket) => socket.destroyed))
    expect(sockets.length).toBeGreaterThanOrEqual(dials)
  }
})

test.each(['close', 'reset'] as const)(
  'a link on which %s is called while it connects',
  async (act) => {
    const { port } = await silent()
    const { hub, inbox, events } = await openNode(1, { id: 2, port })
    closers.push(() => hub.close())
    const link = hub.linkTo(2)
    const { words, payload } = messageOf(0, 1, 4_096)
    expect(link.send(words, 0, payload, 1)).toBe(true) // no session: dropped
    if (act === 'close') link.close()
    else link.reset(1)
    if (act === 'close') link.close()
    expect(link.sentTicket).toBe(1)
    for (let i = 0; i < 5; i++) await turn()
    expect([link.up, link.session, take(inbox)]).toEqual([false, 0, []])
    expect(events.filter(({ kind }) => kind === 'up' || kind === 'down')).toEqual([])
  },
)

test('who is reset while it connects has a session all the same', async () => {
  const two = await openNode(2, { id: 1, port: 1 })
  const one = await openNode(1, { id: 2, port: two.hub.address.port })
  closers.push(() => Promise.all([one.hub.close(), two.hub.close()]))
  one.hub.linkTo(2).reset(0)
  two.hub.linkTo(1).reset(0)
  await eventOf(one, 'up')
  const { words, payload } = messageOf(5, 1, 128)
  await until(() => one.hub.linkTo(2).up)
  one.hub.linkTo(2).send(words, 0, payload, 1)
  const seen = kindsOf(await takeAtLeast(two, 2))
  expect(seen.at(-1)).toBe('5')
  expect(seen.filter((kind) => kind.startsWith('up'))).toHaveLength(1)
})
