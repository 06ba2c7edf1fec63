//! The page of `cargo maplock report` in a browser, as a reader has it: on a wide and a narrow screen, light and dark.
#![cfg(target_os = "linux")]

mod support;

use std::time::Instant;

use maplock_layout::Lock;
use support::browser::Browser;
use support::{Sandbox, object};

/// Ratio of luminances of a text and of what it stands on, the lowest of all that is seen, with the text.
const CONTRAST: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = color => {
    const [r, g, b] = [...rgba(color)].slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (rgba(color)[3] > 0) return color;
    }
    return "white";
  };
  let worst = [99, ""], looked = 0;
  for (const e of document.querySelectorAll("body *")) {
    const has_text = [...e.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!has_text || !e.checkVisibility() || e.tagName === "STYLE" || e.tagName === "SCRIPT") continue;
    if (e.namespaceURI.endsWith("svg") && e.tagName !== "text") continue;
    const style = getComputedStyle(e);
    // Within a box of a picture, text has a rim of the box's colour.
    const is_text = e.tagName === "text";
    const ground = is_text && style.stroke !== "none" ? style.stroke : behind(e);
    const [a, b] = [luminance(is_text ? style.fill : style.color), luminance(ground)].sort((a, b) => b - a);
    const ratio = (a + .05) / (b + .05);
    looked += 1;
    if (ratio < worst[0]) worst = [ratio, e.textContent.slice(0, 40) + " on " + ground];
  }
  return [worst[0], worst[1], looked];
})()"#;

/// What there is to search in, as far as it is shown.
const SHOWN: &str = "[...document.querySelectorAll('#maps .item')].filter(e => e.checkVisibility()).map(e => e.id)";

fn page(sandbox: &Sandbox, line: &str) -> std::path::PathBuf {
    let ran = sandbox.run(&format!("report --lock maps.lock --html out{line}"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    sandbox.path("out/index.html").canonicalize().expect("a page")
}

#[test]
fn the_page_is_searched_and_folded_and_asks_for_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::with_release();
    let tool = |line: &str| assert_eq!(sandbox.run(line).code, Some(0), "{line}");
    tool(&format!("accept stats --on-upgrade migrate --reason \"it wrapped\" --object {}", object("v3")));
    tool(&format!("update --object {}", object("v3")));
    sandbox.release("v3");
    let page = page(&sandbox, " --against v1 --tags v*");
    browser.screen(1400, 900, false);
    browser.open(&page, "");
    // What was asked for is the page itself; nothing went wrong.
    let [requests, complaints] = browser.seen();
    assert!(requests.len() == 1 && requests[0].contains("/out/index.html"), "{requests:?}");
    assert!(complaints.is_empty(), "{complaints:?}");
    // Nor could it ask for more, were there a way to put something onto it.
    let refused = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))";
    assert!(browser.script(refused).as_str().is_some_and(|told| told.contains("Failed to fetch")));
    browser.wait("Log.entryAdded");
    let [_, complaints] = browser.seen();
    assert!(complaints.iter().any(|told| told.contains("Content Security Policy")), "{complaints:?}");

    let all = browser.script(SHOWN).as_array().expect("a list").clone();
    assert_eq!(all, ["map-backends", "map-drops", "map-frontends", "map-services", "map-stats"]);
    // A member is found in the map that has it, before anything is unfolded; a rule by its name.
    browser.click("#search");
    browser.type_text("passed_over");
    assert_eq!(browser.script(SHOWN), serde_json::json!(["map-stats"]));
    let rules = "[...document.querySelectorAll('#rules .item')].filter(e => e.checkVisibility()).length";
    assert_eq!(browser.script(rules), 0);
    // Marks of the picture are none of its words.
    browser.script("search.select()");
    browser.type_text("noscript");
    assert_eq!(browser.script(SHOWN), serde_json::json!([]));
    browser.script("search.select()");
    browser.type_text("marker-end");
    assert_eq!(browser.script(SHOWN), serde_json::json!([]));
    assert!(browser.script("found.textContent").as_str().is_some_and(|told| told.ends_with(" found")));
    browser.script("search.select()");
    browser.type_text("member-moved");
    assert_ne!(browser.script(rules), 0);
    browser.script("search.select()");
    browser.type_text(" ");
    assert_eq!(browser.script(SHOWN).as_array(), Some(&all));

    // A map is unfolded by its line, folded again, and unfolded by an address. Of an address the page hears after the click.
    let is_open = "document.getElementById('map-stats').open";
    assert_eq!(browser.script(is_open), false);
    browser.click("#map-stats > summary");
    browser.until(is_open);
    browser.until("document.querySelector('#map-stats svg')?.getBoundingClientRect().height > 100");
    browser.click("#map-stats > summary");
    browser.until(&format!("!{is_open}"));
    browser.open(&page, "#map-stats");
    browser.until(is_open);
    browser.click("#findings a[href='#rule-member-type-changed']");
    browser.until("document.getElementById('rule-member-type-changed').open");

    for (width, is_mobile) in [(1400, false), (390, true)] {
        browser.screen(width, 850, is_mobile);
        for scheme in ["light", "dark"] {
            browser.scheme(scheme);
            browser.open(&page, "");
            browser.script("document.querySelectorAll('details').forEach(e => e.open = true)");
            browser.until("document.querySelectorAll('#maps svg').length === 5");
            // Of a picture that is cut off, a line says so: what is seen looks like a whole.
            let cut = browser.script(
                "(() => { const of = document.querySelector('#map-stats .wide'); \
                 return [of.scrollWidth > of.clientWidth, getComputedStyle(of, '::before').content.includes('scroll')]; })()",
            );
            assert_eq!(cut, serde_json::json!([is_mobile, is_mobile]), "{width}");
            let overflow = browser.script("document.scrollingElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64().is_some_and(|pixels| pixels <= 0), "{width} {scheme}: {overflow}");
            let told = browser.script(CONTRAST);
            // What WCAG asks of text.
            assert!(told[0].as_f64().is_some_and(|ratio| ratio >= 4.5), "{width} {scheme}: {told}");
            assert!(told[2].as_u64().is_some_and(|texts| texts > 200), "{width} {scheme}: {told}");
        }
    }
    let ground = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.script(ground);
    browser.scheme("light");
    assert_ne!(browser.script(ground), dark);
}

#[test]
fn a_page_of_a_thousand_maps_opens() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::with_release();
    let tool = |line: &str| assert_eq!(sandbox.run(line).code, Some(0), "{line}");
    tool(&format!("accept stats --on-upgrade migrate --reason \"it wrapped\" --object {}", object("v3")));
    let mut lock = Lock::parse(&sandbox.read("maps.lock")).expect("a lock");
    let maps: Vec<_> = lock.maps.values().cloned().collect();
    for at in 0..1000 - maps.len() {
        let mut map = maps[at % maps.len()].clone();
        map.def.name = format!("{}_{at}", map.def.name);
        map.epochs.iter_mut().for_each(|epoch| epoch.previous.name.clone_from(&map.def.name));
        lock.maps.insert(map.def.name.clone(), map);
    }
    sandbox.write("maps.lock", lock.to_string());
    sandbox.release("v2");
    let page = page(&sandbox, " --against v1 --tags v*");
    browser.screen(1400, 900, false);
    browser.call("Performance.enable", &serde_json::json!({ "timeDomain": "threadTicks" }));
    let start = Instant::now();
    browser.open(&page, "");
    let painted = start.elapsed();
    let told = browser.script(
        "(() => { const t = performance.getEntriesByType('navigation')[0]; return [t.loadEventEnd - t.startTime, t.domInteractive, document.querySelectorAll('*').length]; })()",
    );
    let metrics = browser.call("Performance.getMetrics", &serde_json::json!({}));
    let metric = |name: &str| {
        let metrics = metrics["metrics"].as_array().into_iter().flatten();
        metrics.filter(|metric| metric["name"] == name).filter_map(|metric| metric["value"].as_f64()).sum::<f64>()
            * 1000.0
    };
    let work = ["TaskDuration", "ScriptDuration", "RecalcStyleDuration", "LayoutDuration"].map(metric);
    let size = std::fs::metadata(&page).expect("a page").len();
    assert_eq!(browser.script("document.querySelectorAll('#maps .item').length"), 1000);
    // What is folded is drawn when it is unfolded: until then, a map is a few elements.
    assert_eq!(browser.script("document.querySelectorAll('#maps svg').length"), 0);
    assert!(told[2].as_u64().is_some_and(|elements| elements < 40 * 1000), "{told}");
    browser.click("#maps .item > summary");
    browser.until("document.querySelectorAll('#maps svg').length === 1");
    let start = Instant::now();
    browser.click("#search");
    browser.type_text("stats_17");
    let found = browser.script(SHOWN);
    let searched = start.elapsed();
    assert!(found.as_array().is_some_and(|found| found.len() < 20 && !found.is_empty()), "{found}");
    println!(
        "1,000 maps, {} KiB: loaded after {} ms, its text read after {} ms, {} elements; with the driver, painted after {painted:.0?}; a search {searched:.0?}; work of the page {:.0} ms, of which scripts {:.0}, styles {:.0}, layout {:.0}",
        size / 1024,
        told[0],
        told[1],
        told[2],
        work[0],
        work[1],
        work[2],
        work[3],
    );
}
