// The price chart, loaded with the Charts tab alone.
import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  createSeriesMarkers,
  HistogramSeries,
  LineStyle,
} from "lightweight-charts";
import { count, price, volume } from "../lib/format.js";
import { fillMarks, shift } from "./bars.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fade = (colour, alpha) => `color-mix(in srgb, ${colour} ${alpha}%, transparent)`;

/** Colours of the present theme; the canvas cannot read custom properties or color-mix by itself. */
function palette() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const solid = (colour) => {
    probe.style.color = colour;
    const made = getComputedStyle(probe).color;
    const parts = /color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)(?: \/ ([\d.]+))?\)/.exec(made);
    if (!parts) return made;
    const [r, g, b] = parts.slice(1, 4).map((part) => Math.round(Number(part) * 255));
    return `rgba(${r}, ${g}, ${b}, ${parts[4] ?? 1})`;
  };
  const found = {
    surface: solid(css("--surface")),
    text: solid(css("--muted")),
    line: solid(fade(css("--line"), 60)),
    border: solid(css("--line")),
    gain: solid(css("--gain")),
    loss: solid(css("--loss")),
    gainSoft: solid(fade(css("--gain"), 35)),
    lossSoft: solid(fade(css("--loss"), 35)),
    buy: solid(css("--buy")),
    sell: solid(css("--sell")),
    muted: solid(css("--muted")),
  };
  probe.remove();
  return found;
}

/** A chart in an element. Times of bars are epoch seconds UTC; it shows IST. */
export class PriceChart {
  /** @param {HTMLElement} element @param {(bar: any) => void} onHover */
  constructor(element, onHover) {
    this.bars = [];
    this.byTime = new Map();
    this.orderLines = new Map();
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 6, minBarSpacing: 1 },
      localization: { priceFormatter: (value) => price(value), locale: "en-IN" },
      handleScale: { axisPressedMouseMove: { time: true, price: true } },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: LineStyle.Dotted });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "custom", formatter: (value) => volume(value) },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 }, borderVisible: false });
    this.markers = createSeriesMarkers(this.candles, []);
    this.chart.subscribeCrosshairMove((event) => onHover(event.time ? (this.byTime.get(event.time) ?? null) : null));
    this.look();
  }

  /** Take over the colours of the page. */
  look() {
    const colours = palette();
    this.colours = colours;
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colours.surface }, textColor: colours.text },
      grid: { vertLines: { color: colours.line }, horzLines: { color: colours.line } },
      crosshair: {
        vertLine: { color: colours.muted, labelBackgroundColor: colours.border },
        horzLine: { color: colours.muted, labelBackgroundColor: colours.border },
      },
    });
    this.candles.applyOptions({
      upColor: colours.gain,
      downColor: colours.loss,
      wickUpColor: colours.gain,
      wickDownColor: colours.loss,
    });
    if (this.bars.length) this.volumes.setData(this.bars.map((bar) => this.volumeBar(bar)));
  }

  /** An index has no volume: its time stays, without a bar. */
  volumeBar(bar) {
    if (!bar.volume) return { time: shift(bar.time) };
    return {
      time: shift(bar.time),
      value: bar.volume,
      color: bar.close >= bar.open ? this.colours.gainSoft : this.colours.lossSoft,
    };
  }

  /** Replace all bars. @param {any[]} bars oldest first */
  setBars(bars, fresh) {
    this.bars = [...bars];
    this.byTime = new Map(bars.map((bar) => [shift(bar.time), bar]));
    this.candles.setData(bars.map((bar) => ({ ...bar, time: shift(bar.time) })));
    this.volumes.setData(bars.map((bar) => this.volumeBar(bar)));
    if (fresh) {
      const shown = Math.min(bars.length, 120);
      this.chart.timeScale().setVisibleLogicalRange({ from: bars.length - shown, to: bars.length + 6 });
      this.candles.priceScale().setAutoScale(true);
    }
  }

  /** Change or add the last bar. @param {any} bar */
  update(bar) {
    const time = shift(bar.time);
    if (this.bars.length && bar.time < this.bars.at(-1).time) return;
    if (this.bars.at(-1)?.time === bar.time) this.bars[this.bars.length - 1] = bar;
    else this.bars.push(bar);
    this.byTime.set(time, bar);
    this.candles.update({ ...bar, time });
    this.volumes.update(this.volumeBar(bar));
  }

  /**
   * Draw own fills and open orders of a symbol.
   * @param {any[]} orders @param {string} symbol @param {any|null} position
   */
  setOrders(orders, symbol, position) {
    this.markers.setMarkers(
      fillMarks(orders, symbol, this.bars).map((mark) => ({
        time: shift(mark.time),
        position: mark.side === "BUY" ? "belowBar" : "aboveBar",
        shape: mark.side === "BUY" ? "arrowUp" : "arrowDown",
        color: mark.side === "BUY" ? this.colours.buy : this.colours.sell,
        text: `${mark.side[0]} ${count(mark.quantity)}`,
        size: 1,
      })),
    );
    const wanted = new Map();
    for (const order of orders) {
      const at = order.price ?? order.trigger_price;
      if (order.symbol !== symbol || !at || !["INTENT", "SENT", "OPEN", "PARTIALLY_FILLED"].includes(order.state))
        continue;
      wanted.set(order.id, {
        price: Number(at),
        color: order.side === "BUY" ? this.colours.buy : this.colours.sell,
        title: `${order.side} ${count(order.quantity - order.filled_quantity)} ${order.type}`,
        style: LineStyle.Dashed,
      });
    }
    if (position?.quantity)
      wanted.set("position", {
        price: Number(position.average_price),
        color: this.colours.muted,
        title: `${count(position.quantity, { plus: true })} avg`,
        style: LineStyle.Solid,
      });
    for (const [id, line] of this.orderLines) {
      this.candles.removePriceLine(line);
      this.orderLines.delete(id);
    }
    for (const [id, { price: at, color, title, style }] of wanted) {
      this.orderLines.set(
        id,
        this.candles.createPriceLine({
          price: at,
          color,
          title,
          lineWidth: 1,
          lineStyle: style,
          axisLabelVisible: true,
        }),
      );
    }
  }

  remove() {
    this.chart.remove();
  }
}
