import Default from "vitepress/theme"
import "./page.css"

export default Default
