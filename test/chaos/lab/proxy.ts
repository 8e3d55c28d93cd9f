/**
 * Between two nodes: passes bytes on, until told to cut, hold back, delay or damage them. The lower
 * id dials here, so a node may come back at another port. Bytes keep their order, as TCP's do.
 */
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import type { Random } from './random.ts'

export interface Proxy {
  readonly port: number
  /** Where the higher id listens now; 0: nowhere. */
  target: number
  /** Connections break, and none come about, until `heal`. */
  cut(): void
  /** Connections stay and say nothing, until `heal`. */
  hold(): void
  delay(ms: number): void
  /** One bit of the next bytes is another one, in one of both directions. */
  flip(): void
  heal(): void
  /** Bits flipped in bytes that passed. */
  readonly flipped: number
  close(): void
}

type Mode = 'pass' | 'cut' | 'hold'

export async function openProxy(random: Random): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const held: (() => void)[] = []
  let mode: Mode = 'pass'
  let delayMs = 0
  let toFlip: 'up' | 'down' | null = null
  let flipped = 0
  let target = 0

  const passOn = (to: Socket, chunk: Buffer): void => {
    const write = (): void => void (to.destroyed || to.write(chunk))
    if (mode === 'hold') held.push(write)
    else if (delayMs > 0) setTimeout(write, delayMs)
    else write()
  }
  const join = (from: Socket, to: Socket, direction: 'up' | 'down'): void => {
    sockets.add(from)
    from.on('data', (chunk) => {
      if (toFlip === direction) {
        chunk[random.under(chunk.length)]! ^= 1 << random.under(8)
        toFlip = null
        flipped++
      }
      passOn(to, chunk)
    })
    from.on('error', () => from.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  const server = createServer({ noDelay: true }, (lower) => {
    if (mode === 'cut' || target === 0) return void lower.destroy()
    const higher = connect({ port: target, host: '127.0.0.1', noDelay: true })
    join(lower, higher, 'up')
    join(higher, lower, 'down')
  })
  const breakAll = (): void => {
    held.length = 0
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    get target() {
      return target
    },
    set target(port) {
      target = port
      breakAll()
    },
    cut() {
      mode = 'cut'
      breakAll()
    },
    hold: () => void (mode = 'hold'),
    delay: (ms) => void (delayMs = ms),
    flip: () => void (toFlip = random.chance(0.5) ? 'up' : 'down'),
    heal() {
      mode = 'pass'
      delayMs = 0
      toFlip = null
      for (const write of held.splice(0)) write()
    },
    get flipped() {
      return flipped
    },
    close() {
      server.close()
      breakAll()
    },
  }
}
