// Appended to the server of the page on tusd: uploads as browsers do, and says in JSON what the client was told.
import * as tus from 'tus-js-client'

const listening = server.listen({ host: '127.0.0.1', port: 0 })
await new Promise((resolve) => listening.on('listening', resolve))
const endpoint = `http://127.0.0.1:${listening.address().port}/files`

function upload(text, options = {}) {
  return new Promise((resolve) => {
    const made = new tus.Upload(Buffer.from(text), {
      endpoint,
      retryDelays: [20, 20, 20],
      metadata: { filename: 'canary.png' },
      onError: (error) => resolve({ ok: false, status: error.originalResponse?.getStatus(), url: made.url }),
      onSuccess: () => resolve({ ok: true, url: made.url }),
      ...options,
    })
    made.start()
  })
}

const clear = await upload('something harmless')
const refused = await upload('a listed picture')
const resumed = await upload('a listed picture', { uploadUrl: refused.url })
console.log(JSON.stringify({ clear, refused, resumed }))
process.exit(0)
