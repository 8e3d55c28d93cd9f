/**
 * One client over RESP. Its commands take effect in the order in which it sent them, and are
 * answered in that order; what one piece of its stream holds goes to the engine together, and what
 * is answered together leaves in one socket write.
 *
 *     socket -> parser -> plan -> service          at most `inflightMax` are under way
 *     socket <- writer <- slots, in order <-        then nothing more is read
 *
 * Order: writes go on one behind the other. A read behind a write that is under way is an entry of
 * the log, too, so it sees that write and none behind it; without one it is a read of the node. A
 * write behind such a read waits for it. Caller's thread.
 */
import type { Socket } from 'node:net'
import type { ReadOptions, SessionToken } from '../../engine/index.ts'
import type { KvAnswer, TxnCommand } from '../../state-machines/key-value-commands.ts'
import { isOfHttp, planOf } from './commands.ts'
import { failureOf } from './failures.ts'
import { ProtocolError, type Request, type RequestLimits, createParser } from './parser.ts'
import type { Context, Plan } from './plan.ts'
import { type Reply, createReplyWriter } from './reply.ts'

export interface ConnectionLimits extends RequestLimits {
  /** Commands of one connection that are under way. */
  readonly inflightMax: number
  /** Replies that a client may leave unread: it is cut beyond. */
  readonly outputSizeMaxBytes: number
}

/** Of whom it is not yet known who it is. */
export const STRANGER_LIMITS: RequestLimits = {
  ...{ elementsMax: 10, bulkSizeMaxBytes: 16_384 },
  ...{ requestSizeMaxBytes: 16_384, inlineSizeMaxBytes: 16_384 },
}

/** What all connections share. */
export interface ConnectionWiring {
  readonly limits: ConnectionLimits
  readonly consistency: ReadOptions['consistency']
  readonly nowMs: () => number
  /** Takes bytes of requests that are under way everywhere; false: there is no room for them. */
  readonly reserve: (sizeBytes: number) => boolean
  readonly release: (sizeBytes: number) => void
}

export interface Connection {
  /** Since when a request is here in part; Infinity: none is. */
  readonly partialSinceMs: number
  /** Answers what is under way, reads nothing more, and ends. */
  finish(): void
  destroy(): void
}

interface Slot {
  /** Undefined: it is under way. */
  reply: Reply | undefined
}

/** Beyond, nothing new is begun until the client has read. */
const OUTPUT_PAUSE_SIZE_BYTES = 1_024 * 1_024
/** How long the other side has to read its last reply. */
const LINGER_MS = 1_000
const OVERLOADED = 'OVERLOADED too much is under way here; nothing was written, try again'

export function openConnection(
  socket: Socket,
  context: Context,
  wiring: ConnectionWiring,
): Connection {
  const { client, service } = context
  const { limits, nowMs } = wiring
  const parser = createParser(client.role === null ? STRANGER_LIMITS : limits)
  const writer = createReplyWriter()
  const slots: Slot[] = []
  /** Read already, and waiting for those before it. */
  let held: Plan | null = null
  let heldSizeBytes = 0
  let [reads, writes] = [0, 0]
  let [isFlushing, hasEnded, isOver] = [false, false, false]
  let partialSinceMs = Infinity

  // ---- Replies -------------------------------------------------------------------------------

  const settle = (slot: Slot, reply: Reply): void => {
    slot.reply = reply
    if (isFlushing) return
    isFlushing = true
    queueMicrotask(flush)
  }
  const flush = (): void => {
    isFlushing = false
    if (isOver) return
    let done = 0
    for (; done < slots.length && slots[done]!.reply !== undefined; done++) {
      writer.write(slots[done]!.reply!)
    }
    slots.splice(0, done)
    if (writer.sizeBytes > 0) socket.write(writer.take())
    if (socket.writableLength > limits.outputSizeMaxBytes) return destroy()
    pump()
  }
  const shapeOf = (shape: () => Reply): Reply => {
    try {
      return shape()
    } catch (error) {
      return failureOf(error)
    }
  }
  /** @param told what the answer came with, and how it reads */
  const follow = <Told extends { readonly token: SessionToken }>(
    slot: Slot,
    asked: Promise<Told>,
    sizeBytes: number,
    replyOf: (told: Told) => Reply,
    end: () => void,
  ): void => {
    asked.then(
      (told) => {
        end()
        wiring.release(sizeBytes)
        learn(told.token)
        settle(
          slot,
          shapeOf(() => replyOf(told)),
        )
      },
      (error: unknown) => {
        end()
        wiring.release(sizeBytes)
        settle(slot, failureOf(error))
      },
    )
  }
  const learn = (token: SessionToken): void => {
    const { token: known } = client
    if (known === null || token.epoch > known.epoch || token.index > known.index) {
      client.token = token
    }
  }

  // ---- Commands ------------------------------------------------------------------------------

  const endOfRead = (): void => void (reads -= 1)
  const endOfWrite = (): void => void (writes -= 1)

  const readOptions = (): ReadOptions => {
    const { consistency = 'linearizable' } = wiring
    if (consistency !== 'session') return { consistency }
    // Its first read has seen nothing yet; it learns where the log stands.
    return client.token === null ? {} : { consistency, token: client.token }
  }
  const mustWait = (plan: Plan): boolean => {
    switch (plan.kind) {
      case 'reply':
        return false
      case 'later':
      case 'status':
        return writes > 0
      case 'read':
        return writes > 0 && !service.leads
      case 'write':
      case 'txn':
        return reads > 0
    }
  }
  /** A reply or a promise: what a command does when its turn has come. */
  const begin = (plan: Plan, slot: Slot, sizeBytes: number): void => {
    switch (plan.kind) {
      case 'reply':
        wiring.release(sizeBytes)
        return settle(slot, plan.reply)
      case 'later':
        wiring.release(sizeBytes)
        return settle(slot, shapeOf(plan.reply))
      case 'status': {
        reads += 1
        const asked = service.status(readOptions())
        return follow(slot, asked, sizeBytes, plan.reply, endOfRead)
      }
      case 'read':
        if (writes > 0) return readInLog(plan, slot, sizeBytes)
        return readAtNode(plan, slot, sizeBytes)
      case 'write': {
        writes += 1
        const asked = service.execute(plan.command)
        return follow(slot, asked, sizeBytes, ({ answer }) => plan.reply(answer), endOfWrite)
      }
      case 'txn':
        writes += 1
        return inLog(plan.command, slot, sizeBytes, plan.reply)
    }
  }
  type Read = Plan & { readonly kind: 'read' }
  const readAtNode = ({ of, reply }: Read, slot: Slot, sizeBytes: number): void => {
    reads += 1
    const question = of.length === 1 ? of[0]! : ({ kind: 'many', of } as const)
    const asked = service.ask(question, readOptions())
    follow(slot, asked, sizeBytes, ({ answers }) => reply(answers), endOfRead)
  }
  const readInLog = ({ of, reply }: Read, slot: Slot, sizeBytes: number): void => {
    writes += 1
    inLog({ kind: 'txn', guards: [], then: of, else: [] }, slot, sizeBytes, reply)
  }
  const inLog = (
    command: TxnCommand,
    slot: Slot,
    sizeBytes: number,
    reply: (answers: readonly KvAnswer[]) => Reply,
  ): void => {
    const asked = service.execute(command)
    follow(slot, asked, sizeBytes, ({ answer }) => reply(answer.answers), endOfWrite)
  }
  const take = (request: Request): void => {
    if (isOfHttp(request)) return destroy()
    const slot: Slot = { reply: undefined }
    slots.push(slot)
    const sizeBytes = request.reduce((sum, { length }) => sum + length, 0)
    if (!wiring.reserve(sizeBytes)) return settle(slot, { error: OVERLOADED })
    let plan: Plan
    try {
      plan = planOf(request, context)
    } catch (error) {
      plan = { kind: 'reply', reply: failureOf(error) }
    }
    if (client.role !== null) parser.limits = limits
    if (client.isLeaving) hasEnded = true
    if (mustWait(plan)) {
      held = plan
      heldSizeBytes = sizeBytes
    } else begin(plan, slot, sizeBytes)
  }
  const takeHeld = (plan: Plan): void => {
    held = null
    begin(plan, slots.at(-1)!, heldSizeBytes)
  }

  // ---- The stream ----------------------------------------------------------------------------

  const isBusy = (): boolean =>
    held !== null ||
    slots.length >= limits.inflightMax ||
    socket.writableLength > OUTPUT_PAUSE_SIZE_BYTES

  /** Begins what may be begun, and reads on exactly if there is room for more. */
  const pump = (): void => {
    if (held !== null && !mustWait(held)) takeHeld(held)
    while (!isOver && !client.isLeaving && !isBusy()) {
      const request = nextRequest()
      if (request === null) break
      take(request)
    }
    if (isOver) return
    if (hasEnded && slots.length === 0 && (client.isLeaving || !isBusy())) return end()
    if (client.isLeaving || isBusy()) socket.pause()
    else socket.resume()
    const isPartial = parser.sizeBytes > 0 && !isBusy()
    if (!isPartial) partialSinceMs = Infinity
    else if (partialSinceMs === Infinity) partialSinceMs = nowMs()
  }
  const nextRequest = (): Request | null => {
    try {
      const request = parser.next()
      if (request !== null) partialSinceMs = Infinity
      return request
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      slots.push({ reply: { error: `ERR Protocol error: ${error.message}` } })
      client.isLeaving = true
      hasEnded = true
      queueMicrotask(flush)
      return null
    }
  }
  const end = (): void => {
    isOver = true
    socket.end()
    socket.resume() // what still comes is let go of, so that the other side's end is seen
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
  const destroy = (): void => {
    isOver = true
    socket.destroy()
  }
  socket.on('data', (chunk: Buffer) => {
    if (isOver || client.isLeaving) return
    parser.feed(chunk)
    pump()
  })
  socket.on('drain', pump)
  socket.on('end', () => {
    hasEnded = true
    pump()
  })
  socket.on('timeout', destroy)
  socket.on('error', destroy)
  socket.on('close', () => {
    isOver = true
  })
  return {
    get partialSinceMs() {
      return partialSinceMs
    },
    finish() {
      client.isLeaving = true
      hasEnded = true
      pump()
    },
    destroy,
  }
}
