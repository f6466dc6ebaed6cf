/**
 * One bundle, three shells. A report holds its document in the page and starts by itself; the served app
 * starts from its address; a notebook calls the default export as an anywidget.
 */
import "./style/theme.css";
import "./style/parts.css";
import "./style/frame.css";
import { startApp } from "./shells/app";
import { startReport } from "./shells/report";
import { renderWidget } from "./shells/widget";

startReport();
startApp();

export default { render: renderWidget };
