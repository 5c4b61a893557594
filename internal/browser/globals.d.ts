// What our scripts and the providers' add to a window.
interface Window {
  captchaText: Record<string, string>;
  initGeetest(options: object, ready: (widget: any) => void): void;
  initGeetest4(options: object, ready: (widget: any) => void): void;
  initAlicom4(options: object, ready: (widget: any) => void): void;
  TencentCaptcha: new (...options: any[]) => any;
}
