/** What every HTTP adapter does for the gateway, whichever server is behind it. */
import { type Socket, connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import {
  HTTP_LIMITS,
  type HttpAdapter,
  type HttpHandler,
  type HttpListener,
  type HttpLimits,
  type HttpReply,
  type TextSink,
} from '../../src/server/http/adapter.ts'
import { listenNode } from '../../src/server/http/node-adapter.ts'

const ADAPTERS: readonly (readonly [name: string, adapter: HttpAdapter])[] = [
  ['node:http', listenNode],
]

const text = (body: string, status = 200): HttpReply => ({ status, type: 'text/plain', body })

describe.each(ADAPTERS)('%s', (_name, adapter) => {
  const open: HttpListener[] = []
  const errors: unknown[] = []
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close(100)
    expect(errors.splice(0)).toEqual([])
  })

  const start = async (handler: Partial<HttpHandler>, limits: Partial<HttpLimits> = {}) => {
    const listener = await adapter(
      {
        admit: () => null,
        handle: async ({ body }) => text(`got ${String(body.length)}`),
        socket: () => text('none', 404),
        ...handler,
      },
      {
        ...{ host: '127.0.0.1', port: 0, tls: null },
        limits: { ...HTTP_LIMITS, ...limits },
        onError: (error) => errors.push(error),
      },
    )
    open.push(listener)
    return { listener, url: `http://127.0.0.1:${String(listener.address.port)}` }
  }

  test('a request comes whole, with its head', async () => {
    const { url } = await start({
      handle: async ({ method, path, query, body, ...head }) =>
        text([method, path, query, head.header('x-own'), Buffer.from(body).toString()].join(' ')),
    })
    const response = await fetch(`${url}/a/b?c=d`, {
      ...{ method: 'POST', body: 'hello', headers: { 'X-Own': 'yes' } },
    })
    expect(await response.text()).toBe('POST /a/b c=d yes hello')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('what is not admitted is refused before its body is read', async () => {
    let handled = 0
    const { url } = await start({
      admit: () => text('no', 403),
      handle: async () => text(String(++handled)),
    })
    const response = await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) })
    expect([response.status, await response.text(), handled]).toEqual([403, 'no', 0])
  })

  test('a body that says it is too large is refused by its length alone', async () => {
    const { listener } = await start({}, { bodySizeBytesMax: 1_000 })
    const head = 'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1001\r\n\r\n'
    expect(await talk(listener, head)).toMatch(/^HTTP\/1.1 413 [^]*"E_PAYLOAD_SIZE"/)
  })

  test('a body without a length is refused once it is too large', async () => {
    const { listener } = await start({}, { bodySizeBytesMax: 1_000 })
    const head = 'POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n'
    const chunk = `200\r\n${'x'.repeat(512)}\r\n`
    expect(await talk(listener, `${head}${chunk}${chunk}`)).toMatch(/^HTTP\/1.1 413 /)
  })

  test('bodies of all requests together are bounded, and the bound comes free again', async () => {
    const { listener, url } = await start({}, { queuedSizeBytesMax: 1_000 })
    const held = await dial(listener)
    held.write('POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n')
    await expect
      .poll(async () => (await fetch(url, { method: 'POST', body: 'x'.repeat(200) })).status)
      .toBe(503)
    held.destroy()
    await expect
      .poll(async () => (await fetch(url, { method: 'POST', body: 'x'.repeat(200) })).status)
      .toBe(200)
  })

  test('a head that is too large, and bytes that are no HTTP, are refused', async () => {
    const { listener } = await start({})
    const head = `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(9_000)}\r\n\r\n`
    expect(await talk(listener, head)).toMatch(/^HTTP\/1.1 431 /)
    expect(await talk(listener, '\x16\x03\x01\x02\x00rubbish\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
  })

  test('a client that sends its head too slowly is cut', async () => {
    const { listener } = await start({}, { headTimeoutMs: 200, requestTimeoutMs: 400 })
    expect(await talk(listener, 'GET / HTTP/1.1\r\nhost: lo')).toMatch(/^(HTTP\/1.1 408 |$)/)
  })

  test('more requests in flight on one connection than allowed are refused', async () => {
    const gate = Promise.withResolvers<void>()
    const { listener } = await start(
      {
        async handle() {
          await gate.promise
          return text('late')
        },
      },
      { inflightMax: 2 },
    )
    const socket = await dial(listener)
    const got = collect(socket)
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(3))
    setTimeout(() => gate.resolve(), 50)
    await expect.poll(() => got.text.match(/HTTP\/1.1 (200|503)/g)?.length).toBe(3)
    expect(got.text.match(/HTTP\/1.1 503/g)).toHaveLength(1)
    socket.destroy()
  })

  test('a handler that throws breaks its own request alone', async () => {
    const { url } = await start({
      async handle({ path }) {
        if (path === '/bad') throw new Error('planted')
        return text('fine')
      },
    })
    expect((await fetch(`${url}/bad`)).status).toBe(500)
    expect(await (await fetch(`${url}/good`)).text()).toBe('fine')
    expect(errors.splice(0)).toHaveLength(1)
  })

  test('a stream goes on until it ends, and hears when its client leaves', async () => {
    let left = false
    const { url } = await start({
      handle: async () => ({
        type: 'text/event-stream',
        async run(sink: TextSink) {
          sink.signal.addEventListener('abort', () => (left = true))
          for (let i = 0; !sink.signal.aborted; i++) {
            await sink.write(`data: ${String(i)}\n\n`)
            await new Promise((resolve) => setTimeout(resolve, 5))
          }
        },
      }),
    })
    const response = await fetch(url)
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      if (Buffer.from(chunk).includes('data: 3')) break
    }
    await expect.poll(() => left).toBe(true)
  })

  test('a client that takes nothing is cut', async () => {
    let ended = false
    const { listener } = await start(
      {
        handle: async () => ({
          type: 'text/plain',
          async run(sink: TextSink) {
            try {
              for (;;) await sink.write('x'.repeat(2 ** 20))
            } finally {
              ended = true
            }
          },
        }),
      },
      { drainTimeoutMs: 100 },
    )
    const socket = await dial(listener)
    socket.pause()
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await expect.poll(() => ended, { timeout: 20_000 }).toBe(true)
    socket.destroy()
  })

  test('a WebSocket takes messages in order and answers', async () => {
    const { listener } = await start({
      socket({ path }) {
        if (path !== '/ws') return text('none', 404)
        let sink: TextSink | null = null
        return {
          open: (given) => void (sink = given),
          async onMessage(message) {
            await new Promise((resolve) => setTimeout(resolve, message === 'a' ? 20 : 0))
            await sink!.write(`${message}!`)
          },
        }
      },
    })
    const at = `ws://127.0.0.1:${String(listener.address.port)}`
    const socket = new WebSocket(`${at}/ws`)
    const got: string[] = []
    socket.on('message', (data: Buffer) => got.push(data.toString()))
    socket.on('open', () => {
      socket.send('a')
      socket.send('b')
    })
    await expect.poll(() => got).toEqual(['a!', 'b!'])
    socket.close()
    const refused = new WebSocket(`${at}/other`)
    const status = await new Promise((resolve) => {
      refused.on('error', () => undefined)
      refused.on('unexpected-response', (_request, response) => resolve(response.statusCode))
    })
    expect(status).toBe(404)
  })

  test('a WebSocket message that is too large, or binary, ends it', async () => {
    const { listener } = await start(
      { socket: () => ({ open: () => undefined, onMessage: async () => undefined }) },
      { messageSizeBytesMax: 100 },
    )
    const codeOf = (message: string | Buffer) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${String(listener.address.port)}/`)
        socket.on('open', () => socket.send(message))
        socket.on('close', resolve)
      })
    expect(await codeOf('x'.repeat(101))).toBe(1009)
    expect(await codeOf(Buffer.from('x'))).toBe(1003)
  })

  test('close lets what runs end, ends streams, and takes nothing new', async () => {
    const gate = Promise.withResolvers<void>()
    let streamEnded = false
    const { listener, url } = await start({
      async handle({ path }) {
        if (path === '/stream') {
          return {
            type: 'text/plain',
            async run(sink: TextSink) {
              await sink.write('begun')
              await new Promise((resolve) => sink.signal.addEventListener('abort', resolve))
              streamEnded = true
            },
          }
        }
        await gate.promise
        return text('answered')
      },
    })
    const stream = await fetch(`${url}/stream`)
    const slow = fetch(`${url}/slow`).then((response) => response.text())
    await new Promise((resolve) => setTimeout(resolve, 50))
    const closed = listener.close(5_000)
    await expect.poll(() => streamEnded).toBe(true)
    gate.resolve()
    expect(await slow).toBe('answered')
    await closed
    expect(await stream.text()).toBe('begun')
    await expect(fetch(url)).rejects.toThrow()
  })

  test('a port that is taken is E_LISTEN', async () => {
    const { listener } = await start({})
    await expect(
      adapter(
        { admit: () => null, handle: async () => text(''), socket: () => text('') },
        { ...listener.address, limits: HTTP_LIMITS, tls: null, onError: () => undefined },
      ),
    ).rejects.toMatchObject({ code: 'E_LISTEN', detail: { errno: 'EADDRINUSE' } })
  })
})

function dial({ address }: HttpListener): Promise<Socket> {
  const socket = connect(address)
  socket.on('error', () => undefined)
  return new Promise((resolve) => socket.on('connect', () => resolve(socket)))
}

function collect(socket: Socket): { text: string } {
  const got = { text: '' }
  socket.on('data', (chunk: Buffer) => (got.text += chunk.toString('latin1')))
  return got
}

/** Sends bytes and takes everything until the server hangs up. */
async function talk(listener: HttpListener, bytes: string): Promise<string> {
  const socket = await dial(listener)
  const got = collect(socket)
  socket.write(bytes, 'latin1')
  await new Promise((resolve) => socket.on('close', resolve))
  return got.text
}
