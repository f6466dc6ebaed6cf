import { describe, expect, it } from "vitest";
import { ofRun } from "../src/shells/appApi";
import { place, routeOf, runAddress } from "../src/shells/appRoute";

const NAMES = ["dallas", "a/b", "50% & more?#x", "<b>it's</b>", "日本 語", "..", "%2F"];

describe("addresses of the served app", () => {
  it("come back as they were, whatever a run is called", () => {
    for (const run of NAMES)
      for (const tab of ["graph", "try", "sql"] as const)
        for (const against of [null, ...NAMES])
          expect(routeOf(runAddress(run, tab, against, "view=matrix&node=tok@1"))).toEqual({
            page: "run",
            run,
            tab,
            against,
            state: "view=matrix&node=tok%401",
          });
  });

  it("that mean nothing are the list", () => {
    for (const fragment of ["", "#", "#/", "#/run", "#/run/", "#nothing", "#/%"]) expect(routeOf(fragment)).toEqual({ page: "runs" });
    expect(routeOf("#/new")).toEqual({ page: "new" });
    expect(routeOf("#/run/x/strange")).toMatchObject({ run: "x", tab: "graph" });
  });

  it("are one place whatever the viewer's state", () => {
    const one = place(routeOf("#/run/x?against=y&view=graph"));
    expect(place(routeOf("#/run/x?view=matrix&against=y"))).toBe(one);
    expect(place(routeOf("#/run/x/sql?against=y"))).not.toBe(one);
    expect(place(routeOf("#/run/x"))).not.toBe(one);
  });

  it("name a run to the server as one part of a path", () => {
    for (const run of NAMES) {
      const parts = ofRun(run, "document").split("/");
      expect(parts).toHaveLength(5);
      expect(decodeURIComponent(parts[3])).toBe(run);
    }
  });
});
