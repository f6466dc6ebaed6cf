/** Small pictures on buttons, drawn in the colour of the text. */
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="cv-icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const SearchIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.5" />
    <path d="M10.5 10.5 14 14" />
  </Icon>
);

export const CombineIcon = () => (
  <Icon>
    <path d="m8 4.5 3.5 3.5L8 11.5 4.5 8Z" />
    <path d="M1.5 2.5 5.6 6.6M14.5 2.5l-4.1 4.1M8 11.5V15" />
  </Icon>
);

export const ThemeIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6" />
    <path class="cv-solid" d="M8 2a6 6 0 0 1 0 12Z" />
  </Icon>
);

export const FullIcon = () => (
  <Icon>
    <path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" />
  </Icon>
);

export const SaveIcon = () => (
  <Icon>
    <path d="M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11" />
  </Icon>
);

export const PrintIcon = () => (
  <Icon>
    <path d="M4.5 6V2h7v4M4.5 11.5h-3V6h13v5.5h-3M4.5 9.5h7V14h-7Z" />
  </Icon>
);

export const PinIcon = () => (
  <Icon>
    <path d="M5.5 2h5M6.5 2v4.5L4 9.5h8L9.500 6.500V2M8 9.500V14" />
  </Icon>
);
