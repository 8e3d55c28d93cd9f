/** A replicated counter: `node counter.ts FOLDER` counts on from where it stood. */
import { type StateMachine, openLocalCluster } from 'xpaxos'

function createCounter(): StateMachine {
  let sum = 0
  return {
    apply(batch) {
      for (let i = 0; i < batch.count; i++) {
        sum += batch.payload(i)[0]!
        batch.reply(i, Buffer.from(`${sum}`))
      }
    },
    query: () => Buffer.from(`${sum}`),
    snapshot: async (sink) => sink.write(Buffer.from(`${sum}`)),
    restore: async (source) => void (sum = Number(Buffer.from(source.read()!).toString())),
  }
}
const cluster = await openLocalCluster({ dataDir: process.argv[2]!, stateMachine: createCounter })
const { index, result } = await cluster.propose(Uint8Array.of(42))
console.log(`entry ${index}: the counter is ${Buffer.from(result!).toString()}`)
await cluster.close()
