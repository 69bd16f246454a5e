/* Opened as file://, a page may start no web worker, and the site's search runs in one. There, and only there, a worker is a
   hidden frame instead, with what the English search uses: postMessage both ways, and terminate. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inside = this.frame.contentWindow
      const inFrame = inside.document
      inside.postMessage = message => this.dispatchEvent(new MessageEvent("message", { data: message }))
      this.addEventListener("message", event => this.onmessage && this.onmessage(event))
      load(inFrame, new URL(url, location.href).href).then(() => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(message => this.postMessage(message))
      })
    }
    postMessage(message) {
      if (this.waiting) return this.waiting.push(message)
      const inside = this.frame.contentWindow
      inside.dispatchEvent(new inside.MessageEvent("message", { data: message }))
    }
    terminate() { this.frame.remove() }
  }
  function load(page, address) {
    return new Promise((resolve, reject) => {
      const script = page.createElement("script")
      script.src = address
      script.onload = resolve
      script.onerror = reject
      page.body.appendChild(script)
    })
  }
}
