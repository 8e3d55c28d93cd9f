/** How a trace is read where calls of several threads overlap in it. */
import { expect, test } from 'vitest'
import { wholeLines } from './lab/strace.ts'

test('a call that was written down in two parts is one, where it ended', () => {
  const trace = [
    '7 pwritev(23</d/wal-1.seg>, [{}], 2, 4096 <unfinished ...>',
    '9 openat(AT_FDCWD, "/d/x", O_RDONLY) = 5',
    '7 <... pwritev resumed>) = 512',
    '7 fdatasync(23</d/wal-1.seg> <unfinished ...>',
    '9 openat(AT_FDCWD, "/d/y", O_RDONLY <unfinished ...>',
    '7 <... fdatasync resumed>)          = 0',
    '9 <... openat resumed>) = 6',
  ]
  expect([...wholeLines(trace.join('\n'))]).toEqual([
    trace[1],
    '7 pwritev(23</d/wal-1.seg>, [{}], 2, 4096) = 512',
    '7 fdatasync(23</d/wal-1.seg>)          = 0',
    '9 openat(AT_FDCWD, "/d/y", O_RDONLY) = 6',
  ])
})
