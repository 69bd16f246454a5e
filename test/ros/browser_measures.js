// What the tests measure on a page (browser.py evaluates it): overlaps() and contrasts().
({
  overlaps: () => {
    const shown = (node) =>
      node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
      !node.closest(".visually-hidden, .skip")
    const nodes = [
      ...document.querySelectorAll(
        "button, a, input, select, label, h1, h2, h3, summary, .turn, .outcome, .pills li, .hint, .meter, .step, .goal > *, canvas",
      ),
    ].filter((node) => shown(node) && !node.closest("#notes"))
    // What a box that scrolls hides is not seen: only the part inside counts.
    const area = (node) => {
      let { left, top, right, bottom } = node.getBoundingClientRect()
      for (let outer = node.parentElement; outer; outer = outer.parentElement) {
        if (getComputedStyle(outer).overflow === "visible") continue
        const frame = outer.getBoundingClientRect()
        ;[left, top, right, bottom] = [
          Math.max(left, frame.left),
          Math.max(top, frame.top),
          Math.min(right, frame.right),
          Math.min(bottom, frame.bottom),
        ]
      }
      return { left, top, right, bottom }
    }
    const name = (node) =>
      `${node.tagName.toLowerCase()}#${node.id}.${node.className} "${(node.textContent ?? "").trim().slice(0, 30)}"`
    const found = [],
      areas = nodes.map(area)
    for (let i = 0; i < nodes.length; i++)
      for (let j = i + 1; j < nodes.length; j++) {
        if (nodes[i].contains(nodes[j]) || nodes[j].contains(nodes[i])) continue
        const a = areas[i],
          b = areas[j]
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left),
          high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
        if (wide > 1 && high > 1)
          found.push(`${name(nodes[i])} and ${name(nodes[j])}: ${wide.toFixed(0)} x ${high.toFixed(0)}`)
      }
    const width = document.documentElement.clientWidth
    nodes.forEach((node, i) => {
      if (areas[i].right - areas[i].left > 1 && (areas[i].right > width + 1 || areas[i].left < -1))
        found.push(`${name(node)} leaves the screen`)
    })
    if (document.documentElement.scrollWidth > width)
      found.push(`the page scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`)
    return found
  },
  contrasts: () => {
    const parse = (text) => {
      const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number)
      return { r, g, b, a }
    }
    const over = (top, under) => ({
      r: top.r * top.a + under.r * (1 - top.a),
      g: top.g * top.a + under.g * (1 - top.a),
      b: top.b * top.a + under.b * (1 - top.a),
      a: 1,
    })
    const ground = (node) => {
      const layers = []
      for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor))
      return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 })
    }
    const light = ({ r, g, b }) =>
      [r, g, b]
        .map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
    const found = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim(),
        node = walker.currentNode.parentElement
      if (!text || !node.checkVisibility() || node.closest(".visually-hidden, .skip, noscript, script, option"))
        continue
      const under = ground(node),
        ink = over(parse(getComputedStyle(node).color), under)
      const [low, high] = [light(ink), light(under)].sort((a, b) => a - b)
      found.push({
        text: text.slice(0, 40),
        disabled: Boolean(node.closest(":disabled")),
        ratio: (high + 0.05) / (low + 0.05),
      })
    }
    return found
  },
})
